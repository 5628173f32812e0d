"""What lets a reader judge profiled sessions: facts of the sessions, runs by status, profilers."""

from __future__ import annotations

import pandas as pd

from inferometer.analysis import Ledger
from inferometer.phases.summary import of_kind
from inferometer.profilers.summary import Profile
from inferometer.reporting.context import ValidityRow
from inferometer.validity import fact


def rows(ledger: Ledger) -> list[ValidityRow]:
    """Enter session-wide facts and counts as findings; the rows of the report's table."""
    labels = _facts(ledger) | _counts(ledger)
    return [ValidityRow(label=title, finding=name) for name, title in labels.items()]


def _facts(ledger: Ledger) -> dict[str, str]:
    sessions = ledger.observations.drop_duplicates("session")
    share = sessions["session_cells_s"].sum() / sessions["session_wall_s"].sum()
    steal = pd.to_numeric(sessions["session_steal_fraction"]).max()
    foreign = pd.to_numeric(sessions["session_foreign_cpu_fraction"]).max()
    facts: list[tuple[str, str, float]] = [
        ("inside_cells", "share of the sessions' wall time inside cells", share),
        ("steal", "largest share of CPU time stolen", steal),
        ("foreign_cpu", "largest share of CPU time of other processes", foreign),
    ]
    for name, title, value in facts:
        fact(ledger, name, title, value, "over the sessions' manifests")
    return {name: title for name, title, _ in facts}


def _counts(ledger: Ledger) -> dict[str, str]:
    """How many runs there are, how many did not end well, how many have a trace."""
    runs = of_kind(ledger.observations, "run")
    counts = [("runs", "runs of N sequences", "run", len(runs))]
    counts += [
        (f"status.{status}", f"runs that ended with the status `{status}`", "run", int(count))
        for status, count in runs["status"].value_counts().items()
        if status != "ok"
    ]
    traces = of_kind(ledger.observations, "trace")
    whole = int((traces["phase_of_work"] == "all").sum()) if len(traces) else 0
    counts.append(("traces", "runs with a trace that could be read", "trace", whole))
    for name, title, kind, value in counts:
        ledger.add(
            name,
            title,
            value,
            n=len(runs),
            n_of="runs",
            where={"kind": kind},
            estimator="count",
            no_interval="a count",
        )
    return {name: title for name, title, _, _ in counts}


def notes(profiles: dict[str, Profile]) -> list[str]:
    """Why SUTs were not profiled, or some of their cells; SUTs with one reason together."""
    reasons: dict[str, list[str]] = {}
    for seen in profiles.values():
        for reason in seen.missing:
            reasons.setdefault(reason, []).append(f"`{seen.sut}`")
    return [
        f"Profiling not testable here for {', '.join(suts)}: `{reason}`"
        for reason, suts in reasons.items()
    ]
