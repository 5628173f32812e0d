"""Schedules of arrivals, drawn before a load begins: seconds from its start, ascending."""

import csv
import itertools
import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from inferometer.errors import UserError

Times = list[float]
TRACE_COLUMNS = ("seconds", "timestamp", "time", "arrival_s")
"""Names under which a trace may give its times, in this order."""


def constant(rate_per_s: float, *, count: int | None = None, seconds: float = math.inf) -> Times:
    """Evenly spaced from 0."""
    return _ended((number / rate_per_s for number in itertools.count()), count, seconds)


def poisson(
    rate_per_s: float, *, seed: int | str, count: int | None = None, seconds: float = math.inf
) -> Times:
    """Exponential gaps: as many users as you like who know nothing of one another."""
    rng = random.Random(f"{seed}/poisson")
    return _from_gaps(lambda: rng.expovariate(1.0), rate_per_s, count, seconds)


def gamma(
    rate_per_s: float,
    cv: float,
    *,
    seed: int | str,
    count: int | None = None,
    seconds: float = math.inf,
) -> Times:
    """Gamma gaps with this coefficient of variation: 1 is Poisson, above it comes in bursts."""
    if not cv > 0:
        raise ValueError(f"gamma: a CV of {cv:g} is not possible; use a number above 0")
    rng = random.Random(f"{seed}/gamma")
    shape = cv**-2
    return _from_gaps(lambda: rng.gammavariate(shape, 1 / shape), rate_per_s, count, seconds)


def trace(path: Path, *, rate_per_s: float | None = None, seconds: float = math.inf) -> Times:
    """Times of a file: one a line as a number, CSV with a column, or JSON lines.

    The column or key is `seconds`, `timestamp`, `time` or `arrival_s`; seconds from the start,
    ascending. With `rate_per_s` the times are stretched to that mean rate.

    Raises `UserError` naming file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the trace cannot be read: {error}") from error
    times = [_checked(value, path, number) for number, value in _values(lines, path)]
    for number, (before, after) in enumerate(itertools.pairwise(times), start=1):
        if after < before:
            raise UserError(f"{path}: entry {number + 1} ({after:g} s) is before the one above it")
    if len(times) < 2 or times[-1] == 0:
        raise UserError(f"{path}: a trace needs two times at least, the last above 0")
    stretch = 1.0 if rate_per_s is None else len(times) / times[-1] / rate_per_s
    return _ended((at * stretch for at in times), None, seconds)


def draw(law: str, rate_per_s: float, seconds: float, seed: str, folder: Path) -> Times:
    """The schedule of a named law: `poisson`, `constant`, `gamma-<CV>` or `trace:<file>`.

    A trace is looked for in `folder` and stretched to the rate. With one seed, laws and rates draw
    the same random numbers: a schedule at another rate is the same one at another speed.
    """
    if not (math.isfinite(rate_per_s) and rate_per_s > 0):
        raise ValueError(f"schedule: {rate_per_s:g} requests/s are not possible; use more than 0")
    kind, _, rest = law.partition(":" if law.startswith("trace") else "-")
    if law == "poisson":
        return poisson(rate_per_s, seed=seed, seconds=seconds)
    if law == "constant":
        return constant(rate_per_s, seconds=seconds)
    if kind == "gamma" and (cv := _number(rest)) is not None and cv > 0:
        return gamma(rate_per_s, cv, seed=seed, seconds=seconds)
    if kind == "trace" and rest:
        return trace(folder / rest, rate_per_s=rate_per_s, seconds=seconds)
    raise UserError(
        f"arrivals: {law!r} is no law; use poisson, constant, gamma-<CV> such as gamma-2, "
        "or trace:<file>"
    )


def _from_gaps(
    gap: Callable[[], float], rate_per_s: float, count: int | None, seconds: float
) -> Times:
    times = itertools.accumulate(gap() for _ in itertools.count())
    return _ended((at / rate_per_s for at in times), count, seconds)


def _ended(times: Iterable[float], count: int | None, seconds: float) -> Times:
    """Those before the end: the first `count`, and none at `seconds` or later."""
    chosen = itertools.islice(times, count)
    return list(itertools.takewhile(lambda at: at < seconds, chosen))


def _values(lines: Sequence[str], path: Path) -> Iterable[tuple[int, Any]]:
    """(line, what should be a time) of each line that is not empty."""
    filled = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if (
        filled
        and not filled[0][1].lstrip().startswith("{")
        and _number(_first(filled[0][1])) is None
    ):
        header = next(csv.reader([filled[0][1]]))
        column = _column([name.strip() for name in header], path)
        for number, line in filled[1:]:
            row = next(csv.reader([line]))
            yield number, row[column] if column < len(row) else None
        return
    for number, line in filled:
        if not line.lstrip().startswith("{"):
            yield number, _first(line)
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}: line {number} is not JSON: {error}") from error
        yield number, next((entry[name] for name in TRACE_COLUMNS if name in entry), None)


def _first(line: str) -> str:
    return line.split(",")[0]


def _column(header: list[str], path: Path) -> int:
    for name in TRACE_COLUMNS:
        if name in header:
            return header.index(name)
    raise UserError(
        f"{path}: no column of times among {', '.join(header)}; "
        f"name it one of {', '.join(TRACE_COLUMNS)}"
    )


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _checked(value: Any, path: Path, line: int) -> float:
    number = _number(value)
    if number is None or number < 0:
        raise UserError(f"{path}: line {line}: {value!r} is no time; use seconds from 0")
    return number
