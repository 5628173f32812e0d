"""The table: each client's errors in all rounds, the limits of ours, and who is better."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inferometer.stats import arrivals

from .figures import Figures

OURS = "ours"
Found = dict[tuple[float, str], list[Figures]]
"""(requests per second, client) -> one for each round."""


@dataclass(frozen=True)
class Row:
    """One figure at one rate. Two values nearer than `resolution` count as the same."""

    rate_per_s: float
    words: str
    value: Callable[[Figures], float | None]
    limit: float | None
    resolution: float
    factor: float = 1e3
    unit: str = "ms"

    @property
    def label(self) -> str:
        """What the table calls it."""
        return f"{self.rate_per_s:g}/s: {self.words}"


ROWS = (
    Row(20, "TTFT error p50", lambda each: each.ttft_p50_s, 0.6e-3, 0.05e-3),
    Row(20, "TTFT error p99", lambda each: each.ttft_p99_s, 2e-3, 0.1e-3),
    Row(20, "token stamp error p99", lambda each: each.stamp_p99_s, 0.3e-3, 0.05e-3),
    Row(20, "time between tokens, error p99", lambda each: each.gap_p99_s, None, 0.05e-3),
    Row(20, "its mean in a request, error p99", lambda each: each.mean_gap_p99_s, None, 2e-6),
    Row(20, "throughput error", lambda each: each.throughput_share, None, 1e-3, 100, "%"),
    Row(20, "CPU-s per 1,000 tokens", lambda each: each.cpu_s_per_1000_tokens, 0.1, 5e-3, 1, "s"),
    Row(50, "TTFT error p99", lambda each: each.ttft_p99_s, 5e-3, 0.1e-3),
)
ARRIVALS = ((20, "index of dispersion", 1.0), (20, "lag-1 correlation of gaps", 0.0))


@dataclass(frozen=True)
class Cell:
    """A client's figure: the median of its rounds, or a pooled one with its interval."""

    value: float | None
    rounds: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class Line:
    """A row of the table; `fails` says what speaks against our client, empty where nothing."""

    label: str
    unit: str
    limit: str
    cells: dict[str, Cell]
    fails: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def lines(found: Found, clients: Sequence[str]) -> list[Line]:
    """All rows for the clients that ran at the row's rate."""
    made = []
    for row in ROWS:
        rounds = {name: _rounds(found.get((row.rate_per_s, name), []), row) for name in clients}
        if rounds.get(OURS):
            made.append(_errors_line(row, rounds))
    for rate, words, wanted in ARRIVALS:
        runs = {name: found[rate, name] for name in clients if (rate, name) in found}
        if OURS in runs:
            made.append(_arrivals_line(rate, words, wanted, runs))
    return made


def _rounds(figures: list[Figures], row: Row) -> tuple[float, ...]:
    values = [row.value(each) for each in figures]
    return tuple(value * row.factor for value in values if value is not None)


def _errors_line(row: Row, rounds: dict[str, tuple[float, ...]]) -> Line:
    own = rounds[OURS]
    base = float(np.median(own))
    cells, fails = {}, []
    if row.limit is not None and base > row.limit * row.factor:
        fails.append("limit not met")
    for name, values in rounds.items():
        middle = float(np.median(values)) if values else None
        cells[name] = Cell(middle, values, ratio=middle / base if middle and base else None)
        if name != OURS and better(values, own, row.resolution * row.factor):
            fails.append(f"{name} is better")
    limit = "" if row.limit is None else f"{row.limit * row.factor:g}"
    return Line(row.label, row.unit, limit, cells, tuple(fails))


def better(values: Sequence[float], own: Sequence[float], resolution: float) -> bool:
    """Whether smaller beyond noise: in each round below all of ours, by the resolution.

    One round shows no noise, so nothing is better then.
    """
    return min(len(values), len(own)) > 1 and max(values) + resolution < min(own)


def _arrivals_line(
    rate_per_s: float, words: str, wanted: float, runs: dict[str, list[Figures]]
) -> Line:
    cells = {name: _arrivals(each, words) for name, each in runs.items()}
    holds = {
        name: cell.interval is not None and cell.interval[0] <= wanted <= cell.interval[1]
        for name, cell in cells.items()
    }
    fails = [] if holds[OURS] else [f"the interval does not hold {wanted:g}"]
    if not holds[OURS]:
        fails += [f"{name} is better" for name in runs if holds[name]]
    return Line(f"{rate_per_s:g}/s: {words}", "", f"holds {wanted:g}", cells, tuple(fails))


def _arrivals(runs: list[Figures], words: str) -> Cell:
    """Pooled over rounds; between its first and last arrival a Poisson run is uniform."""
    shifted = [np.array(run.arrivals_s) - run.arrivals_s[0] for run in runs]
    if words.startswith("index"):
        spread = arrivals.dispersion(
            [each[1:-1] for each in shifted], [each[-1] for each in shifted]
        )
        value, ends = spread.index, spread.ci
    else:
        gaps = arrivals.gap_correlation(shifted)
        value, ends = gaps.r1, gaps.ci
    return Cell(value, interval=None if ends is None else (ends[0], ends[1]))
