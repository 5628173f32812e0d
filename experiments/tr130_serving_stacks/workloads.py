"""TR130: which stack serves which kind of work best at which N, and the decisions from it."""

from typing import Any

from inferometer import routing
from inferometer.analysis import Ledger
from inferometer.economics.blends import BLENDS
from inferometer.findings import Branch, Case, Decision, Leaf, Node
from inferometer.scaling import Cells, enter_mean

Workloads = dict[str, dict[str, Cells]]
"""Kind of work -> SUT -> its cells."""

UNDECIDED = "undecided"
BEST = "highest mean over blocks, ahead of every rival beyond its simultaneous interval"


def enter(ledger: Ledger, workloads: Workloads, pairs: Any) -> None:
    """Rates, tails, ratios and the best stack of each kind of work at each N."""
    for workload, arms in workloads.items():
        for n in sorted({n for arm in arms.values() for n in arm.levels}):
            for arm in arms.values():
                if n in arm.levels:
                    _arm(ledger, arm, workload, n)
            pairs.Level.of(ledger, arms, n, workload).ratios("throughput", "ratio", "total")
            _best(ledger, arms, workload, n)
        _lengths(ledger, workload, arms)


def _arm(ledger: Ledger, arm: Cells, workload: str, n: int) -> None:
    least = int(arm.cells[arm.cells["agents"] == n]["timed"].min())
    few = f"of {least} latencies a block at least: below 20 it is little less than the largest"
    at = f"{BLENDS[workload].title.lower()}, N = {n}"
    for name, title, column, unit, notes in (
        (routing.rate_name(arm.sut, workload, n), "requests completed", "requests", "1/s", None),
        (
            routing.p95_name(arm.sut, workload, n),
            "95th percentile of a block's latencies",
            "latency_p95_s",
            "s",
            few,
        ),
        (f"{arm.sut}.ttft.{workload}.n{n}", "time to first token", "ttft_s", "s", None),
    ):
        values = arm.at(n, column)
        enter_mean(ledger, name, f"{title}: {at}", values, unit, arm.rows(n), notes=notes)


def _lengths(ledger: Ledger, workload: str, arms: dict[str, Cells]) -> None:
    """How long the requests really were."""
    where = next(iter(arms.values())).where | {"sut": list(arms)}
    rows = ledger.observations
    for column, value in where.items():
        rows = rows[rows[column].isin(value if isinstance(value, list) else [value])]
    for name, column in (("prompt", "prompt_tokens"), ("output", "completion_tokens")):
        counts = rows[column].dropna().astype(int)
        ledger.add(
            f"{name}_tokens.{workload}",
            f"{name} tokens of a request: {BLENDS[workload].title.lower()}",
            int(counts.median()) if len(counts) else None,
            n=len(counts),
            n_of="requests",
            where=where,
            estimator="median over requests",
            no_interval="a setting, as the servers counted it",
            reason="no server counts them",
            notes=None if counts.nunique() == 1 else f"{counts.min()} to {counts.max()}",
        )


def _best(ledger: Ledger, arms: dict[str, Cells], workload: str, n: int) -> None:
    there = [sut for sut, arm in arms.items() if n in arm.levels]
    seen = routing.standing(ledger.findings, there, workload, n)
    tag = routing.tag(workload, n)
    shared: dict[str, Any] = {
        "n": min(len(arms[sut].at(n, "throughput")) for sut in there),
        "where": arms[there[0]].rows(n) | {"sut": there},
    }
    closest = seen.closest and routing.over(ledger.findings, seen.leader, seen.closest, tag)
    notes = f"not told apart from {seen.leader}: {', '.join(seen.alike)}" if seen.alike else None
    ledger.add(
        routing.best_name(workload, n),
        f"stack that completes most requests at {tag}",
        seen.best or UNDECIDED,
        estimator=BEST,
        no_interval="a choice; the ratio to the closest rival has an interval",
        notes=notes if seen.closest else f"only {seen.leader} was measured",
        **shared,
    )
    ledger.add(
        routing.lead_name(workload, n),
        f"rate of {seen.leader} over that of {seen.closest}, its closest rival, at {tag}",
        closest.value if closest else None,
        ci=(closest.low, closest.high) if closest and closest.low else None,
        estimator="the pair's ratio, interval simultaneous over all pairs (Bonferroni)",
        no_interval="fewer than 3 blocks on one side",
        reason="no rival was measured",
        notes=f"leader: {seen.leader}; closest rival: {seen.closest}",
        **shared,
    )


def decisions(ledger: Ledger, workloads: Workloads) -> list[Decision]:
    """One decision a kind of work; the number of agents is the reader's case."""
    found = []
    for workload, arms in workloads.items():
        levels = sorted({n for arm in arms.values() for n in arm.levels})
        root = _advice(ledger, arms, workload, levels[0])
        for n in levels[1:]:  # so the largest N is asked for first
            root = Branch(
                question=f"Do {n} or more agents send at the same time?",
                case=Case(factor="agents", least=n),
                yes=_advice(ledger, arms, workload, n),
                no=root,
            )
        title = f"Which stack? {BLENDS[workload].title}"
        found.append(Decision(id=f"stack-{workload}", title=title, root=root))
    return found


def _advice(ledger: Ledger, arms: dict[str, Cells], workload: str, n: int) -> Node:
    there = [sut for sut, arm in arms.items() if n in arm.levels]
    seen = routing.standing(ledger.findings, there, workload, n)
    label = arms[seen.leader].label
    if seen.closest is None:
        return Leaf(advice=f"{label}: nothing else was measured at N = {n}.")
    rivals = seen.alike or [seen.closest]
    open_ = " or ".join(arms[sut].label for sut in (seen.leader, *rivals))
    return Branch(
        question=f"Does {label} complete more requests than every other stack at N = {n}?",
        finding=routing.lead_name(workload, n),
        holds=True if seen.best else None,
        yes=Leaf(advice=f"{label}."),
        no=Leaf(advice=f"{open_}: not told apart at N = {n}."),
    )
