"""TR129: from observations to findings. Blocks are the replicates throughout."""

import pandas as pd

from inferometer import entries, validity
from inferometer.analysis import Analysis, Ledger, Where, judge
from inferometer.experiments import Experiment
from inferometer.load import summary
from inferometer.scaling import Scaling, enter_laws, enter_level, enter_mean, fitted


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    verdicts, draw = experiment.step("verdicts"), experiment.step("draw")
    table = summary.cells(ledger.observations, ["agents", "think_ms"])
    suts = {}
    for sut in table["sut"].unique():
        label = experiment.design.suts[sut].label if sut in experiment.design.suts else sut
        suts[sut] = _scaling(ledger, table[table["sut"] == sut], sut, label or sut)
        _think(ledger, table[table["sut"] == sut], sut)
    _gains(ledger, suts)
    rows = validity.of_sessions(ledger)
    tests = verdicts.tests(ledger, suts, table)
    return Analysis(
        verdicts=judge(experiment.design.hypotheses, tests) if depth != "quick" else [],
        decisions=verdicts.decisions(ledger, suts),
        figures=draw.figures(ledger, suts, table),
        validity=rows,
    )


def _scaling(ledger: Ledger, table: pd.DataFrame, sut: str, label: str) -> Scaling:
    """Everything about N at think time 0."""
    seen = fitted(sut, label, table[table["think_ms"] == 0], _where(sut))
    for level in seen.levels:
        enter_level(ledger, seen, level)
    enter_laws(ledger, seen)
    validity.of_replication(ledger, seen)
    return seen


def _where(sut: str, agents: int | None = None, think_ms: float = 0) -> Where:
    where: Where = {"sut": sut, "think_ms": think_ms, "cell_valid": True}
    return where | ({"agents": agents} if agents is not None else {})


def _think(ledger: Ledger, table: pd.DataFrame, sut: str) -> None:
    """Sustained and per-request rates by think time, told apart."""
    levels = sorted(table["think_ms"].unique())
    if len(levels) < 2:
        return
    agents = int(table[table["think_ms"] == levels[-1]]["agents"].iloc[0])
    for level in levels:
        chosen = table[(table["think_ms"] == level) & (table["agents"] == agents)].set_index(
            "block"
        )
        where = _where(sut, agents, float(level))
        tag = f"think{level:g}"
        enter_mean(
            ledger,
            f"{sut}.sustained.{tag}",
            f"sustained total throughput, think time {level:g} ms, N = {agents}",
            chosen["throughput"],
            "tokens/s",
            where,
        )
        enter_mean(
            ledger,
            f"{sut}.request_rate.{tag}",
            f"rate that one request sees, think time {level:g} ms, N = {agents}",
            chosen["request_rate"],
            "tokens/s",
            where,
        )


def _gains(ledger: Ledger, suts: dict[str, Scaling]) -> None:
    """Continuous batching against the serial server, at each N."""
    serial, batch = suts.get("llamacpp-serial"), suts.get("llamacpp-batch8")
    if serial is None or batch is None:
        return
    for n in sorted(set(serial.levels) & set(batch.levels)):
        a, b = batch.at(n, "throughput"), serial.at(n, "throughput")
        title = f"total of continuous batching over that of the serial server at N = {n}"
        where = _where(serial.sut, n) | {"sut": [batch.sut, serial.sut]}
        entries.ratio(ledger, f"batching_gain.n{n}", title, a, b, where)
