"""Entries of the evidence page: findings in full precision, and the sessions behind them."""

from collections.abc import Iterable
from itertools import groupby

from inferometer.findings import Finding, Interval, Rows, SessionRef

_SESSION_COLUMNS = ("session", "sut", "block")


def exact(finding: Finding) -> str:
    """The value with all its digits and its unit, or why there is none."""
    if finding.value is None:
        return f"not defined: {finding.reason}"
    return f"`{finding.value}` {finding.unit}".rstrip()


def exact_interval(finding: Finding) -> str:
    """The interval with all its digits and its confidence, or why there is none."""
    if finding.interval is None:
        return f"none: {finding.no_interval}"
    return f"{_bounds(finding.interval)} {finding.unit}".rstrip() + (
        f", confidence {finding.interval.confidence:g}"
    )


def feeding(rows: Rows, sessions: Iterable[SessionRef]) -> list[SessionRef]:
    """The sessions that a row selector admits, by its session, sut and block columns."""

    def admits(session: SessionRef) -> bool:
        own = {"session": session.id, "sut": session.sut, "block": session.block}
        for column in _SESSION_COLUMNS:
            if column in rows.where:
                allowed = rows.where[column]
                if own[column] not in (allowed if isinstance(allowed, list) else [allowed]):
                    return False
        return True

    return [session for session in sessions if admits(session)]


def sessions_of(finding: Finding, sessions: list[SessionRef]) -> str:
    """Names of the sessions behind a finding, by SUT: `` `one-slot` 00 01 02 ``."""
    if finding.rows.count == 0:
        return "none"
    parts = []
    for sut, group in groupby(feeding(finding.rows, sessions), key=lambda session: session.sut):
        blocks = " ".join(session.id.rpartition("/")[2] for session in group)
        parts.append(f"`{sut}` {blocks}")
    return ("; ".join(parts) or "none") + " ([digests](#sessions))"


def _bounds(interval: Interval) -> str:
    if interval.low is None:
        return "unbounded" if interval.high is None else f"at most `{interval.high}`"
    if interval.high is None:
        return f"at least `{interval.low}`"
    return f"`{interval.low}` to `{interval.high}`"
