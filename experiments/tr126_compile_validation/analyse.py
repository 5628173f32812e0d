"""TR126: from observations to findings. Blocks are the replicates throughout."""

from typing import Any

import pandas as pd

from inferometer.analysis import Analysis, Ledger, Where, judge
from inferometer.errors import UserError
from inferometer.experiments import Experiment
from inferometer.phases import summary
from inferometer.reporting.context import ValidityRow

KINDS = ("compile", "phase", "output")
COLUMNS = (
    *("prompt", "part", "use", "status", "error", "wall_s", "compile_s", "compiled_in_region"),
    *("prompt_tokens", "output_ids", "compile_reasons"),
)
"""What the analysis reads of a record; some are missing where no session had a value."""


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    names = ("entries", "payback", "speed", "compiler", "verdicts", "draw")
    entries, payback, speed, compiler, verdicts, draw = (experiment.step(name) for name in names)
    arms = _arms(ledger, experiment, entries)
    speed.findings(arms, entries)
    compiler.findings(arms, entries, payback)
    validity = _validity(ledger)
    tests = verdicts.tests(ledger, arms, speed)
    return Analysis(
        verdicts=judge(experiment.design.hypotheses, tests) if depth != "quick" else [],
        decisions=verdicts.decisions(ledger, arms),
        figures=draw.figures(ledger, arms),
        validity=validity,
    )


def _arms(ledger: Ledger, experiment: Experiment, entries: Any) -> dict[str, Any]:
    """What was measured of each SUT, in the order of the design."""
    seen = ledger.observations
    records = seen[seen["kind"].isin(KINDS)] if "kind" in seen else seen.iloc[0:0]
    if records.empty:
        raise UserError("tr126: the sessions hold no records of compiling or of phases; measure it")
    records = records.reindex(columns=list(dict.fromkeys([*records, *COLUMNS, *entries.COUNTS])))
    cells = _cells(records)
    known = experiment.design.suts
    return {
        sut: entries.Arm(
            ledger=ledger,
            sut=sut,
            label=known[sut].label or sut,
            cells=cells[cells["sut"] == sut],
            records=records[records["sut"] == sut],
            compiled=known[sut].settings.get("compile", "none") != "none",
        )
        for sut in known
        if sut in set(records["sut"])
    }


def _cells(records: pd.DataFrame) -> pd.DataFrame:
    """Cells by block, from timed parts during which nothing was compiled."""
    clean = records[~records["compiled_in_region"].eq(True) | records["kind"].ne("phase")]
    cells = summary.cells(clean, ["prompt"])
    if not cells.empty:
        cells["request_s"] = pd.to_numeric(cells["prefill_s"]) + pd.to_numeric(cells["decode_s"])
    return cells


def _validity(ledger: Ledger) -> list[ValidityRow]:
    """Session-wide facts as findings, so that the report can quote them."""
    sessions = ledger.observations.drop_duplicates("session")
    inside = sessions["session_cells_s"].sum() / sessions["session_wall_s"].sum()
    facts = [
        ("inside_cells", "share of the sessions' wall time inside measured cells", inside),
        (
            "steal_fraction",
            "largest share of CPU time stolen during a session",
            sessions["session_steal_fraction"].max(),
        ),
        (
            "foreign_cpu_fraction",
            "largest share of CPU time of other processes during a session",
            sessions["session_foreign_cpu_fraction"].max(),
        ),
    ]
    rows = []

    def add(name: str, title: str, value: Any, n: int, n_of: str, where: Where) -> None:
        ledger.add(
            name,
            title,
            None if pd.isna(value) else value,
            n=n,
            n_of=n_of,
            where=where,
            estimator="over the records",
            no_interval="a property of these sessions, not an estimate",
            reason="not reported by this machine",
        )
        rows.append(ValidityRow(label=title, finding=name))

    for name, title, value in facts:
        add(name, title, value, len(sessions), "sessions", {})
    phases = summary.of_kind(ledger.observations, "phase")
    add("records", "timed parts", len(phases), len(phases), "records", {"kind": "phase"})
    for status in ("oom", "error", "gone", "timeout"):
        where: Where = {"kind": ["phase", "compile"], "status": status}
        kept = ledger.observations
        tried = kept[kept["kind"].isin(["phase", "compile"])]
        count = int((tried["status"] == status).sum())
        title = f"parts, timed or not, with status {status}"
        add(f"records_{status}", title, count, len(tried), "records", where)
    return rows
