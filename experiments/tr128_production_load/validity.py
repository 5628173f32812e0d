"""TR128: whether the arrivals were what they were said to be, and facts of the sessions."""

from typing import Any

import numpy as np
import pandas as pd

from inferometer.analysis import Ledger
from inferometer.reporting.context import ValidityRow
from inferometer.stats import arrivals
from inferometer.validity import fact

AT_20 = "at 20 requests/s"
SESSIONS = {
    "client.added_ttft_p50": f"client's own part of TTFT {AT_20}, median",
    "client.added_ttft_p99": f"client's own part of TTFT {AT_20}, p99",
    "client.schedule_lag_p99": f"lag behind the schedule {AT_20}, p99",
    "steal_fraction": "largest share of CPU time stolen during a session",
    "foreign_cpu_fraction": "largest share of CPU time of other processes during a session",
}
ARRIVALS = {
    "dispersion": (
        "index of dispersion of arrivals",
        "arrivals.dispersion: chi-square of counts, pooled over cells",
    ),
    "lag1": (
        "correlation of neighbouring gaps between arrivals",
        "arrivals.gap_correlation: lag 1, pooled over cells",
    ),
}


def findings(ledger: Ledger, table: Any, suts: dict[str, Any]) -> list[ValidityRow]:
    """Enter every check; returns the rows of the report's table."""
    timed = table.requests(ledger.observations)
    rows = []
    for seen in suts.values():
        rows += _arrivals(ledger, timed, seen)
        rows += _sent(ledger, timed, seen)
    return rows + _sessions(ledger)


def _arrivals(ledger: Ledger, timed: pd.DataFrame, seen: Any) -> list[ValidityRow]:
    """Dispersion of counts and correlation of gaps of the Poisson cells, as scheduled, as sent."""
    cells = seen.load[seen.load["arrivals"] == "poisson"]
    rows = []
    for column in ("scheduled_s", "sent_s"):
        runs, seconds = _runs(timed, cells, column)
        if not runs:
            continue
        spread, gaps = arrivals.dispersion(runs, seconds), arrivals.gap_correlation(runs)
        words = column.removesuffix("_s")
        for name, found, value, n in (
            ("dispersion", spread, spread.index, spread.arrivals),
            ("lag1", gaps, gaps.r1, gaps.gaps),
        ):
            title, how = ARRIVALS[name]
            finding = ledger.add(
                f"{seen.sut}.arrivals.{name}.{words}",
                f"{title}, as {words} (`{seen.sut}`)",
                value,
                ci=found.ci,
                n=n,
                n_of="arrivals" if name == "dispersion" else "gaps",
                where=seen.where("load"),
                estimator=how,
                reason=found.reason,
            )
            rows.append(ValidityRow(label=finding.title, finding=finding.id))
    return rows


def _runs(
    timed: pd.DataFrame, cells: pd.DataFrame, column: str
) -> tuple[list[np.ndarray], list[float]]:
    """Times of each cell's arrivals from its start, and its length."""
    runs, seconds = [], []
    for _, cell in cells.iterrows():
        own = timed[(timed["session"] == cell["session"]) & (timed["cell"] == cell["cell"])]
        times = np.clip(np.sort(own[column].to_numpy(float) - cell["start"]), 0, None)
        runs.append(times)
        # one sent late, after the last instant of the cell, is still one of its arrivals
        seconds.append(max(float(cell["length"]), float(times.max(initial=0))))
    return runs, seconds


def _sent(ledger: Ledger, timed: pd.DataFrame, seen: Any) -> list[ValidityRow]:
    """How late requests left, and whether events and counted tokens agree."""
    own = timed[(timed["sut"] == seen.sut) & timed["scheduled_s"].notna()]
    open_phases = sorted(own["phase"].unique())
    where = {"sut": seen.sut, "kind": "request", "cell_valid": True, "phase": open_phases}
    counts = {
        "requests": ("requests with a schedule", len(own)),
        "unfinished_all": (
            "of these not finished when the drain ended",
            int((own["status"] == "unfinished").sum()),
        ),
        "tokens_disagree": (
            "of these with another number of token events than the server counted",
            int((own["tokens_agree"].eq(False) & own["phase"].ne("streaming")).sum()),
        ),
    }
    for name, (title, value) in counts.items():
        ledger.add(
            f"{seen.sut}.{name}",
            f"{title} (`{seen.sut}`)",
            value,
            n=len(own),
            n_of="requests",
            where=where,
            estimator="count",
            no_interval="a count",
        )
    lag = float(own["lag_s"].quantile(0.99)) if len(own) else None
    ledger.add(
        f"{seen.sut}.lag_p99",
        f"lag of the client behind the schedule, p99 of all requests (`{seen.sut}`)",
        lag,
        unit="s",
        n=len(own),
        n_of="requests",
        where=where,
        estimator="quantile over requests",
        no_interval="a property of these requests",
    )
    names = [*counts, "lag_p99"]
    return [
        ValidityRow(label=ledger.findings[f"{seen.sut}.{name}"].title, finding=f"{seen.sut}.{name}")
        for name in names
    ]


def _sessions(ledger: Ledger) -> list[ValidityRow]:
    """Session-wide facts, so that the report can quote them."""
    sessions = ledger.observations.drop_duplicates("session")
    inside = sessions["session_cells_s"].sum() / sessions["session_wall_s"].sum()
    facts = [("inside_cells", "share of the sessions' wall time inside cells", inside, "")]
    for name, title in SESSIONS.items():
        client = name.startswith("client.")
        column = f"session_rate_{name.removeprefix('client.')}_s" if client else f"session_{name}"
        value = None
        if column in sessions:
            value = sessions[column].median() if client else sessions[column].max()
        facts.append((name, title, value, "s" if client else ""))
    how = "over the sessions' manifests; the client's figures are medians"
    return [fact(ledger, name, title, value, how, unit) for name, title, value, unit in facts]
