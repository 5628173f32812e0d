"""Compare what was committed with what raw gives again: findings, and observation tables."""

import io
import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from inferometer.findings import FindingsFile

TOLERANCE = 1e-6
"""Relative difference that counts as equal: optimisers end there on other processors."""

NEGLIGIBLE = 1e-12
"""Absolute difference that counts as equal, for numbers that should be zero."""

APART = {"figures", "observations_sha256"}
"""Fields of a findings file that are digests of files, checked on the files themselves."""


def of_findings(committed: FindingsFile, again: FindingsFile) -> list[str]:
    """One line for each finding, verdict or other part that differs; empty when all agree."""
    old = committed.model_dump(mode="json", exclude=APART)
    new = again.model_dump(mode="json", exclude=APART)
    lines: list[str] = []
    for part, label, key in (
        ("sessions", "session", "id"),
        ("findings", "finding", "id"),
        ("verdicts", "verdict", "hypothesis"),
        ("decisions", "decision", "id"),
    ):
        lines += _named(
            label,
            {item[key]: item for item in old.pop(part)},
            {item[key]: item for item in new.pop(part)},
        )
    return lines + [f"{path}: {words}" for path, words in _differing(old, new, "")]


def of_tables(committed: pd.DataFrame, again: pd.DataFrame) -> list[str]:
    """How a stored table differs from the one that raw gives; empty when they are equal."""
    again = _as_stored(again)
    if list(committed.columns) != list(again.columns):
        odd = sorted(set(committed.columns) ^ set(again.columns)) or ["their order"]
        return [f"columns differ from what raw gives: {', '.join(odd)}"]
    if len(committed) != len(again):
        return [f"{len(committed)} rows, raw gives {len(again)}"]
    lines = []
    for column in committed.columns:
        old, new = committed[column], again[column]
        if old.equals(new):
            continue
        unequal = [
            number
            for number, pair in enumerate(zip(old.tolist(), new.tolist(), strict=True))
            if not _same(*pair)
        ]
        if unequal:
            first = unequal[0]
            place = f"{again['session'].iloc[first]} line {again['line'].iloc[first]}"
            lines.append(
                f"column {column!r} differs from raw in {len(unequal)} rows, first at {place}: "
                f"{old.iloc[first]!r}, raw gives {new.iloc[first]!r}"
            )
    return lines


def _as_stored(table: pd.DataFrame) -> pd.DataFrame:
    """The table as it reads back from Parquet, which decides some types."""
    stored = io.BytesIO()
    table.to_parquet(stored, index=False)
    return pd.read_parquet(io.BytesIO(stored.getvalue()))


def _named(label: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name in old | new:
        if name not in new:
            yield f"{label} {name}: raw does not give it"
        elif name not in old:
            yield f"{label} {name}: missing, though raw gives it"
        else:
            first = next(_differing(old[name], new[name], ""), None)
            if first:
                yield f"{label} {name}: {first[0]}: {first[1]}"


def _differing(old: Any, new: Any, path: str) -> Iterator[tuple[str, str]]:
    """(path, words) of each leaf that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old | new:
            inner = f"{path}.{key}" if path else str(key)
            yield from _differing(old.get(key), new.get(key), inner)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from _differing(*pair, f"{path}[{number}]")
    elif not _same(old, new):
        yield path, f"committed {_short(old)}, raw gives {_short(new)}"


def _same(old: Any, new: Any) -> bool:
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (old, new))
    if numbers:
        both_nan = math.isnan(old) and math.isnan(new)
        return both_nan or math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=NEGLIGIBLE)
    if old is None or new is None or old is pd.NaT or new is pd.NaT:
        return old is new
    return bool(old == new)


def _short(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 120 else words[:117] + "..."
