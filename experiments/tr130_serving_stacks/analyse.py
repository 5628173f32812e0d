"""TR130: from observations to findings. Blocks are the replicates throughout."""

import numpy as np

from inferometer import validity
from inferometer.analysis import Analysis, Ledger, judge
from inferometer.economics.blends import BLENDS
from inferometer.entries import PAIRED
from inferometer.experiments import Experiment
from inferometer.scaling import FEWEST_LEVELS, Cells, Scaling, enter_laws, enter_level, fitted
from inferometer.stats import compare

SERIAL = "llamacpp-serial"


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    names = ("table", "pairs", "workloads", "checks", "verdicts", "draw")
    table, pairs, workloads, checks, verdicts, draw = map(experiment.step, names)
    design, cells = experiment.design, table.cells(ledger.observations)
    same = table.arms(cells, design, table.SAME)
    best = table.arms(cells, design, table.BEST)
    kinds = {name: table.arms(cells, design, table.ROUTES, name) for name in _kinds(cells)}
    margin = min(h.margin for h in design.hypotheses.values() if h.margin is not None)
    laws = {}
    for phase, arms in ((table.SAME, same), (table.BEST, best)):
        laws |= _scaling(ledger, arms)
        for n in sorted({n for arm in arms.values() for n in arm.levels}):
            pairs.enter_level(ledger, arms, phase, n, margin)
        pairs.enter_crossovers(ledger, arms)
    pairs.enter_gains(ledger, same, SERIAL)
    _speedups(ledger, same)
    workloads.enter(ledger, kinds, pairs)
    checks.enter(ledger, same | best, next(iter(same), None))
    tests = verdicts.tests(ledger, same, best, laws, kinds)
    return Analysis(
        verdicts=judge(design.hypotheses, tests) if depth != "quick" else [],
        decisions=workloads.decisions(ledger, kinds),
        figures=draw.figures(ledger, same, best, laws, kinds),
        validity=validity.of_sessions(ledger, table.REQUEST),
        notes=_unmeasured(experiment, depth, cells),
    )


def _kinds(cells) -> list[str]:  # type: ignore[no-untyped-def]
    """The kinds of work that were measured, in the order of their source."""
    there = set(cells.loc[cells["phase"] == "workloads", "workload"])
    return [name for name in BLENDS if name in there]


def _scaling(ledger: Ledger, arms: dict[str, Cells]) -> dict[str, Scaling]:
    """Each SUT over N: means, efficiency, speed-up; laws where there are enough levels."""
    laws = {}
    for sut, arm in arms.items():
        for n in arm.levels:
            enter_level(ledger, arm, n)
            _speedup(ledger, arm, n)
        if len(arm.levels) >= FEWEST_LEVELS:
            laws[sut] = fitted(sut, arm.label, arm.cells, arm.where)
            enter_laws(ledger, laws[sut])
            validity.of_replication(ledger, laws[sut])
    return laws


def _speedup(ledger: Ledger, arm: Cells, n: int) -> None:
    logs = _log_speedups(arm, n)
    if n == 1 or logs.size == 0:
        return
    values = np.exp(logs)
    seen = compare.ratio(values, np.ones_like(values), paired=True) if np.ptp(logs) else None
    ledger.add(
        f"{arm.sut}.speedup.n{n}",
        f"total at N = {n} over that at N = 1 of the same block",
        seen.ratio if seen else float(values[0]),
        ci=seen.ci if seen else None,
        n=len(values),
        where=arm.rows([1, n]),
        no_interval=seen.reason if seen else "no spread between blocks",
        estimator=PAIRED,
    )


def _log_speedups(arm: Cells, n: int) -> np.ndarray:
    both = np.log(arm.at(n, "throughput")) - np.log(arm.at(1, "throughput"))
    return both.dropna().to_numpy(dtype=float)


def _speedups(ledger: Ledger, same: dict[str, Cells]) -> None:
    """Whether the stacks that batch differ in the speed-up at the largest N that all have."""
    arms = [arm for sut, arm in same.items() if sut != SERIAL]
    common = set.intersection(*(set(arm.levels) for arm in arms)) if len(arms) > 1 else set()
    groups = [_log_speedups(arm, max(common)) for arm in arms] if common - {1} else []
    usable = len(groups) > 1 and all(g.size > 2 and np.ptp(g) > 0 for g in groups)
    seen = compare.anova(groups) if usable else None
    ledger.add(
        "speedup_differs_p",
        "p of different speed-ups of the stacks that batch, largest common N",
        seen.welch_p if seen else None,
        n=min((len(g) for g in groups), default=0),
        where={"kind": "request", "sut": [arm.sut for arm in arms], "phase": "scaling"},
        estimator="compare.anova of log speed-ups by block: Welch's F",
        no_interval="the result of a test",
        reason="needs two stacks that batch, with 3 blocks each",
        notes=f"at N = {max(common)}" if groups else None,
    )


def _unmeasured(experiment: Experiment, depth: str, cells) -> list[str]:  # type: ignore[no-untyped-def]
    """Phases of another depth, said where they are missing."""
    missing = {"scaling", "precision", "workloads"} - set(cells["phase"])
    planned = set(experiment.design.plan(depth).phases)
    return [
        f"The phase `{phase}` "
        + ("has no valid cell." if phase in planned else "is not part of this depth.")
        for phase in sorted(missing)
    ]
