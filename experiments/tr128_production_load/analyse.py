"""TR128: from observations to findings. Blocks are the replicates throughout."""

from typing import Any

import pandas as pd
import yaml

from inferometer.analysis import Analysis, Ledger, judge
from inferometer.errors import UserError
from inferometer.experiments import Experiment

LEVEL = (
    # finding, column, title, unit, lowest and highest possible value
    ("offered", "offered", "offered rate", "requests/s", 0, None),
    ("achieved", "achieved", "achieved rate", "requests/s", 0, None),
    ("achieved_share", "achieved_share", "achieved over offered rate", "", 0, None),
    (
        "backlog",
        "backlog",
        "growth of the number inside, share of the offered rate",
        "",
        None,
        None,
    ),
    ("inside", "inside", "mean number in the system", "requests", 0, None),
    ("little", "little", "number inside over offered rate times latency", "", 0, None),
    ("latency", "latency_s", "mean latency from the scheduled time", "s", 0, None),
    ("latency_p50", "latency_p50_s", "median latency", "s", 0, None),
    ("latency_p95", "latency_p95_s", "95th percentile of latency", "s", 0, None),
    ("latency_p99", "latency_p99_s", "99th percentile of latency", "s", 0, None),
    ("ttft", "ttft_s", "time to first token from the scheduled time", "s", 0, None),
    ("tpot", "tpot_s", "time per output token after the first", "s", 0, None),
    ("wait", "wait_s", "wait for a slot, HTTP and client", "s", None, None),
    ("service", "service_s", "server's own prefill and decode time", "s", 0, None),
    ("service_cv", "service_cv", "coefficient of variation of that time", "", 0, None),
    ("goodput", "goodput", "share of arrivals that meet all objectives", "", 0, 1),
    ("goodput_rate", "goodput_rate", "arrivals that meet all objectives", "requests/s", 0, None),
    ("lag", "lag_p99", "lag of the client behind the schedule, p99 of a cell", "s", 0, None),
)
DEFINED_IN_ALL = ("latency", "latency_p50", "latency_p95", "latency_p99", "wait", "little")
"""Means that would leave out the fullest blocks if a block without a value were skipped."""


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    names = ("entries", "table", "prediction", "phases", "validity", "verdicts", "draw")
    parts = {name: experiment.step(name) for name in names}
    objectives = _objectives(ledger, experiment)
    suts = _seen(ledger, experiment, depth, parts, objectives)
    for seen in suts.values():
        _capacity(ledger, parts["entries"], seen)
        for rho in seen.levels:
            level(ledger, parts["entries"], seen, seen.load[seen.load["rho"] == rho])
        for _, cells in seen.cells[seen.cells["phase"] == "bursts"].groupby(["rho", "arrivals"]):
            level(ledger, parts["entries"], seen, cells)
        parts["prediction"].findings(ledger, parts["entries"], seen)
        parts["phases"].findings(ledger, parts["entries"], seen)
    parts["phases"].slots(ledger, parts["entries"], suts)
    checks = parts["validity"].findings(ledger, parts["table"], suts)
    tests = parts["verdicts"].tests(ledger, suts)
    return Analysis(
        verdicts=judge(experiment.design.hypotheses, tests) if depth != "quick" else [],
        decisions=parts["verdicts"].decisions(ledger, suts),
        figures=parts["draw"].figures(ledger, suts),
        validity=checks,
    )


def _objectives(ledger: Ledger, experiment: Experiment) -> dict[str, float]:
    """The objectives of slo.yaml, entered as findings so that the report can quote them."""
    path = experiment.folder / "slo.yaml"
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    wanted = ("ttft_s", "tpot_s", "total_s")
    if not isinstance(found, dict) or set(found) != set(wanted):
        raise UserError(f"{path}: give seconds for each of {', '.join(wanted)}, and nothing else")
    for name in wanted:
        if not isinstance(found[name], int | float) or not found[name] > 0:
            raise UserError(f"{path}: {name}: {found[name]!r} is no number of seconds above 0")
        ledger.add(
            f"slo.{name.removesuffix('_s')}",
            f"objective for {name.removesuffix('_s')}",
            float(found[name]),
            unit="s",
            n=1,
            n_of="declarations",
            where={"kind": "request"},
            estimator="declared in slo.yaml",
            no_interval="declared",
        )
    return found


def _seen(
    ledger: Ledger,
    experiment: Experiment,
    depth: str,
    parts: dict[str, Any],
    objectives: dict[str, float],
) -> dict[str, Any]:
    """Every SUT that has open-loop cells."""
    design, table = experiment.design, parts["table"]
    rows = ledger.observations
    slots = {name: int(sut.settings.get("slots", 1)) for name, sut in design.suts.items()}
    tokens = int(design.plan(depth).effort["output_tokens"])  # type: ignore[arg-type]
    capacity = table.capacities(rows, tokens)
    cells = table.open_cells(rows, slots, objectives)
    if cells.empty:
        raise ValueError("no open-loop cell is valid")
    turns, drifts = table.turns(rows), table.drifts(rows, cells)
    found = {}
    for sut in sorted(cells["sut"].unique()):
        declared = design.suts.get(sut)
        label = (declared.label if declared else "") or sut
        own = [frame[frame["sut"] == sut] for frame in (capacity, cells, turns, drifts)]
        series = parts["entries"].values(own[0], "capacity")
        found[sut] = parts["entries"].Seen(sut, label, slots.get(sut, 1), series, *own[1:])
    return found


def _capacity(ledger: Ledger, entries: Any, seen: Any) -> None:
    entries.mean(
        ledger,
        f"{seen.sut}.capacity",
        "capacity: requests per second of a closed loop that keeps every slot busy",
        seen.capacity,
        "requests/s",
        seen.where("capacity"),
        low=0,
    )
    entries.mean(
        ledger,
        f"{seen.sut}.pace",
        "seconds of the whole server per request: one over the capacity",
        1 / seen.capacity,
        "s",
        seen.where("capacity"),
        low=0,
    )


def level(ledger: Ledger, entries: Any, seen: Any, cells: pd.DataFrame) -> None:
    """Findings at one rho and law of arrivals."""
    rho, law, phase = (cells[name].iloc[0] for name in ("rho", "arrivals", "phase"))
    where = seen.where(phase, rho=float(rho)) | ({"arrivals": law} if phase == "bursts" else {})
    name_of = entries.tag(rho, law)
    for name, column, title, unit, low, high in LEVEL:
        entries.mean(
            ledger,
            f"{seen.sut}.{name}.{name_of}",
            f"{title} at rho {rho:g}",
            entries.values(cells, column),
            unit,
            where,
            low=low,
            high=high,
            of=len(cells) if name in DEFINED_IN_ALL else None,
            reason=_why(name),
        )
    ledger.add(
        f"{seen.sut}.unfinished.{name_of}",
        f"requests not finished when the drain ended, at rho {rho:g}",
        int(cells["unfinished"].sum()),
        n=int(cells["requests"].sum()),
        n_of="requests",
        where=where,
        estimator="count",
        no_interval="a count",
    )


def _why(name: str) -> str:
    if name in ("latency_p95", "latency_p99"):
        return "a cell has too few requests for this tail, or too many unfinished ones"
    return "requests were not finished, or the server does not report it"
