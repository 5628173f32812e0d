"""Whether a finding's row selector still means the rows that the finding recorded."""

import pandas as pd

from inferometer.analysis import select
from inferometer.findings import Rows, rows_digest


def selected(rows: Rows, observations: pd.DataFrame) -> pd.DataFrame:
    """The observations behind a finding; `ValueError` names a column that does not exist."""
    missing = [column for column in rows.where if column not in observations.columns]
    if missing:
        raise ValueError(f"observations have no column {missing[0]!r}")
    return select(observations, rows.where)


def problem(rows: Rows, observations: pd.DataFrame) -> str | None:
    """Why a selector does not give the rows that its count and digest promise, or `None`."""
    try:
        found = selected(rows, observations)
    except ValueError as error:
        return f"its row selector fails: {error}"
    if len(found) != rows.count:
        return f"its selector gives {len(found)} rows, {rows.count} are recorded"
    pairs = list(zip(found["session"], found["line"].astype(int), strict=True))
    if rows_digest(pairs) != rows.digest:
        return "its selector gives other rows than the recorded digest"
    return None
