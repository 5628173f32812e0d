"""Findings about the measurement itself: sessions, requests, replication."""

from typing import Any

import pandas as pd

from inferometer.analysis import Ledger, Where
from inferometer.load import summary
from inferometer.reporting.context import ValidityRow
from inferometer.scaling import Scaling
from inferometer.stats import blocks, intervals, power

FEW = "needs at least 3 blocks"
CLIENT = (
    ("added_ttft_p50_s", "client's own part of TTFT at {}, median"),
    ("added_ttft_p99_s", "client's own part of TTFT at {}, 99th percentile"),
    ("schedule_lag_p99_s", "lag behind the schedule at {}, 99th percentile"),
)


def of_sessions(ledger: Ledger, requests: Where | None = None) -> list[ValidityRow]:
    """Enter facts of the sessions, and count their requests: the rows of a validity table.

    `requests` selects the requests where the observations hold rows of other kinds too.
    """
    rows = [*_shares(ledger), *_client(ledger), *_noise(ledger)]
    return [*rows, *_requests(ledger, requests or {})]


def fact(
    ledger: Ledger, name: str, title: str, value: Any, estimator: str, unit: str = ""
) -> ValidityRow:
    """Enter a fact of all sessions; a value that is missing was not reported."""
    ledger.add(
        name,
        title,
        None if pd.isna(value) else value,
        unit=unit,
        n=ledger.observations["session"].nunique(),
        n_of="sessions",
        where={},
        estimator=estimator,
        no_interval="a property of these sessions, not an estimate",
        reason="not reported by this machine",
    )
    return ValidityRow(label=title, finding=name)


def _sessions(ledger: Ledger) -> pd.DataFrame:
    return ledger.observations.drop_duplicates("session")


def _shares(ledger: Ledger) -> list[ValidityRow]:
    sessions = _sessions(ledger)
    share = sessions["session_cells_s"].sum() / sessions["session_wall_s"].sum()
    title = "share of the sessions' wall time inside measured cells"
    return [fact(ledger, "inside_cells", title, share, "total over total")]


def _client(ledger: Ledger) -> list[ValidityRow]:
    sessions, rows = _sessions(ledger), []
    for load, words in (("streams", "8 streams"), ("rate", "20 requests/s")):
        for key, title in CLIENT:
            column = f"session_{load}_{key}"
            if column in sessions:
                name = f"client.{load}.{key.removesuffix('_s')}"
                middle = sessions[column].median()
                how = "median over sessions"
                rows.append(fact(ledger, name, title.format(words), middle, how, "s"))
    return rows


def _noise(ledger: Ledger) -> list[ValidityRow]:
    sessions, how = _sessions(ledger), "maximum over sessions"
    return [
        fact(ledger, name, title, sessions[f"session_{column}"].max(), how)
        for name, title, column in (
            ("steal", "largest share of CPU time stolen during a session", "steal_fraction"),
            (
                "foreign_cpu",
                "largest share of CPU time of other processes during a session",
                "foreign_cpu_fraction",
            ),
        )
    ]


def _requests(ledger: Ledger, where: Where) -> list[ValidityRow]:
    requests = ledger.observations
    for column, value in where.items():
        requests = requests[requests[column] == value]
    if requests.empty:  # workers alone were measured: there was nothing to send
        return []
    counts = {
        "requests": ("requests sent in measured cells", len(requests)),
        "failed_requests": ("requests that failed", int((requests["status"] != "ok").sum())),
    }
    for name, (title, count) in counts.items():
        ledger.add(
            name,
            title,
            count,
            n=len(requests),
            n_of="requests",
            where=where,
            estimator="count",
            no_interval="a count",
        )
    return [
        ValidityRow(label="requests sent", finding="requests"),
        ValidityRow(label="requests that failed", finding="failed_requests"),
    ]


def of_replication(ledger: Ledger, seen: Scaling) -> None:
    """How requests hang together inside blocks, and what the design can see."""
    requests = ledger.observations
    for column, value in seen.where.items():
        requests = requests[requests[column] == value]
    timed = summary.timings(requests)
    for n in (1, max(seen.levels)):
        chosen = timed[timed["agents"] == n]
        grouped = [group["latency_s"].to_numpy() for _, group in chosen.groupby("block")]
        if len(grouped) >= 2:
            _components(ledger, seen, n, blocks.variance_components(grouped))
    _detectable(ledger, seen)


def _components(ledger: Ledger, seen: Scaling, n: int, found: blocks.VarianceComponents) -> None:
    for name, title, value in (
        ("icc", "intraclass correlation of latencies", found.icc),
        ("design_effect", "design effect", found.design_effect),
        ("naive_width", "width of the pooled interval over that of blocks", found.width_ratio),
    ):
        ledger.add(
            f"{seen.sut}.{name}.n{n}",
            f"{title} at N = {n}",
            value,
            n=found.n_blocks,
            where=seen.rows(n),
            reason=found.reason,
            estimator="blocks.variance_components of request latencies",
            no_interval="a variance ratio, given to judge the intervals by",
        )


def _detectable(ledger: Ledger, seen: Scaling) -> None:
    top = max(seen.levels)
    values = seen.at(top, "throughput")
    cv = intervals.mean_of_blocks(values).cv if len(values) > 1 else None
    ledger.add(
        f"{seen.sut}.block_cv",
        f"spread of the total between blocks at N = {top}",
        cv,
        n=len(values),
        where=seen.rows(top),
        estimator="standard deviation over mean of block values",
        no_interval="a spread, given to judge the intervals by",
        reason=FEW,
    )
    found = power.minimum_detectable(len(values), cv=cv) if len(values) >= 3 and cv else None
    ledger.add(
        f"{seen.sut}.detectable",
        "smallest ratio of two SUTs that this many blocks detect with power .8",
        found.ratio if found else None,
        n=len(values),
        where=seen.rows(top),
        estimator="power.minimum_detectable: noncentral t at the measured block spread",
        no_interval="a property of the design at the measured spread",
        reason=FEW,
    )
