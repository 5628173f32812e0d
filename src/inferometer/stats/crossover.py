"""Where the curves of two SUTs over a factor cross, with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.inputs import MIN_BLOCKS, Floats
from inferometer.stats.result import Result

GRID = 4001
"""Points between the first and the last level: ends are found to 0.05 % over a range of 1 to 8."""

Outcome = Literal["crossing", "none", "undecided"]


@dataclass(frozen=True, repr=False)
class Crossover(Result):
    """Where curve `a` and curve `b` cross, in the unit of the factor.

    `outcome` is "crossing" when one leads at one level and the other beyond it, each beyond its
    interval; "none" when the same one leads beyond its interval over the whole range; else
    "undecided". `ci` holds all levels at which the two cannot be told apart, with an end of
    None where that reaches the edge of the range. `below` and `above` name who leads ("a", "b")
    beyond its interval at the first and at the last level, None where neither does.
    """

    estimate: float | None
    ci: tuple[float | None, float | None] | None
    outcome: Outcome | None
    below: str | None
    above: str | None
    confidence: float
    reason: str | None = None


def crossover(levels: ArrayLike, a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Crossover:
    """Find where two curves cross.

    Parameters
    ----------
    levels : of the factor, ascending, at least 2, each above 0.
    a, b : values above 0, blocks x levels; the numbers of blocks may differ.
    confidence : coverage of `ci` for a crossing of the curves as interpolated.

    Returns
    -------
    Crossover
        Each block's curve is interpolated linearly between the logarithms of its levels. At
        every point the logarithms of the blocks are compared by Welch's t; the interval holds
        the points where it does not tell the curves apart (the test inverted, as Fieller's
        interval is), so it covers a crossing as often as that t interval covers 0. A bootstrap
        of seven blocks covers less than its nominal share. With fewer than 3 blocks on a side
        there is no interval and no outcome.

    Raises
    ------
    ValueError
        Levels that do not ascend; values not above 0, not finite, or of another shape.

    Notes
    -----
    Fieller (1954), J. R. Stat. Soc. B 16, 175-185; Welch (1947), Biometrika 34, 28-35.
    """
    inputs.fraction("confidence", confidence)
    at = inputs.positive_sample("levels", levels, 2)
    if (np.diff(at) <= 0).any():
        raise ValueError("levels: must ascend")
    first, second = _curves("a", a, at), _curves("b", b, at)
    grid = np.linspace(np.log(at[0]), np.log(at[-1]), GRID)
    one, two = (_interpolated(curves, np.log(at), grid) for curves in (first, second))
    gap = one.mean(axis=0) - two.mean(axis=0)
    estimate = _first_root(grid, gap)
    if min(len(first), len(second)) < MIN_BLOCKS:
        reason = f"fewer than {MIN_BLOCKS} blocks on one side: no interval"
        return Crossover(estimate, None, None, None, None, confidence, reason)
    leads = np.where(np.abs(gap) > _half_width(one, two, confidence), np.sign(gap), 0)
    return _judged(np.exp(grid), leads, estimate, confidence)


def _curves(name: str, values: ArrayLike, levels: Floats) -> Floats:
    data = np.atleast_2d(np.asarray(values, dtype=float))
    if data.ndim != 2 or data.shape[1] != levels.size or data.shape[0] < 1:
        raise ValueError(f"{name}: needs blocks x {levels.size} levels; got {data.shape}")
    if not np.isfinite(data).all() or (data <= 0).any():
        raise ValueError(f"{name}: every value must be finite and above 0")
    logs: Floats = np.log(data)
    return logs


def _interpolated(curves: Floats, levels: Floats, grid: Floats) -> Floats:
    return np.array([np.interp(grid, levels, curve) for curve in curves])


def _first_root(grid: Floats, gap: Floats) -> float | None:
    """The first point where the gap changes its sign, in the unit of the factor."""
    grid, gap = grid[gap != 0], gap[gap != 0]
    changes = np.flatnonzero(np.sign(gap[:-1]) != np.sign(gap[1:]))
    if not changes.size:
        return None
    index = int(changes[0])
    share = gap[index] / (gap[index] - gap[index + 1])
    return float(np.exp(grid[index] + share * (grid[index + 1] - grid[index])))


def _half_width(one: Floats, two: Floats, confidence: float) -> Floats:
    """Half the width of Welch's interval of the difference at every point."""
    shares = [curves.var(axis=0, ddof=1) / len(curves) for curves in (one, two)]
    variance = shares[0] + shares[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        df = variance**2 / (shares[0] ** 2 / (len(one) - 1) + shares[1] ** 2 / (len(two) - 1))
    half: Floats = np.where(
        variance > 0, stats.t.ppf((1 + confidence) / 2, df) * np.sqrt(variance), 0.0
    )
    return half


def _judged(at: Floats, leads: Floats, estimate: float | None, confidence: float) -> Crossover:
    names = {1.0: "a", -1.0: "b", 0.0: None}
    below, above = names[float(leads[0])], names[float(leads[-1])]
    alike = np.flatnonzero(leads == 0)
    both = {float(value) for value in np.unique(leads)} >= {1.0, -1.0}
    if not both and not alike.size:
        reason = f"{below} leads at every level from {at[0]:g} to {at[-1]:g}"
        return Crossover(None, None, "none", below, above, confidence, reason)
    ends = (float(at[alike[0]]), float(at[alike[-1]])) if alike.size else (estimate, estimate)
    ci = (
        None if leads[0] == 0 else ends[0],
        None if leads[-1] == 0 else ends[1],
    )
    if both:
        return Crossover(estimate, ci, "crossing", below, above, confidence)
    reason = "no level at which each leads the other beyond its interval"
    return Crossover(estimate, ci, "undecided", below, above, confidence, reason)
