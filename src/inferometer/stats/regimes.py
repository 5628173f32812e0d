"""Two regimes or one: find a break, and infer with a null that knows it was searched for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.break_null import NOISES, break_p_value
from inferometer.stats.break_search import best_partition, break_statistics, two_lines
from inferometer.stats.inputs import Floats
from inferometer.stats.result import Result

LONGEST_TESTED = 400
PENALTY = 4.0


@dataclass(frozen=True, repr=False)
class Break(Result):
    """A single break: after how many values, what lies on either side, and whether it is real.

    `sup_F` is ``(RSS_1 - RSS_2)/(RSS_2/(n - q))`` at the best break, q the parameters of both
    sides; `p` allows for the search. `means` (or `slopes` and `intercepts`) are before, after.
    """

    break_after: int
    x_before: float | None
    x_after: float | None
    means: tuple[float, float] | None
    slopes: tuple[float, float] | None
    intercepts: tuple[float, float] | None
    sup_F: float
    p: float
    decision: str
    naive_p: float
    r1: float
    noise: str
    n: int
    min_segment: int
    alpha: float
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class FixedBreak(Result):
    """The F test of a break that was fixed before the data were seen."""

    break_after: int
    means: tuple[float, float] | None
    slopes: tuple[float, float] | None
    F: float
    df: tuple[int, int]
    p: float


@dataclass(frozen=True, repr=False)
class Segments(Result):
    """Constant levels by penalised least squares; a description, not a test."""

    starts: tuple[int, ...]
    means: tuple[float, ...]
    sigma: float
    n: int


def single_break(
    y: ArrayLike,
    x: ArrayLike | None = None,
    min_segment: int = 3,
    noise: str = "ar1",
    alpha: float = 0.05,
    seed: int = 0,
) -> Break:
    """Search for one break of the mean, or of the line over x, and test it.

    Parameters
    ----------
    y : values in order (of time, or of x).
    x : ascending positions; given, each side has its own line, otherwise its own mean.
    min_segment : fewest values on a side, at least 2 (3 with x).
    noise : what the simulated null assumes: "ar1" allows for autocorrelation up to .9, weighted
        by how well it explains the residuals; "white" is for values whose order of measurement
        was randomised.
    alpha, seed : level of `decision`; seed of the null.

    Returns
    -------
    Break
        Sums of squares in the squared unit of y are compared; `p` comes from a simulated null of
        the largest F (a series over 400 values is averaged in groups first). `naive_p` is the F
        test as if the break had been known, which is wrong for a found break.

    Raises
    ------
    ValueError
        Fewer than ``2 min_segment + 1`` values, x not ascending, no variance in y.

    Notes
    -----
    Quandt (1960), J. Am. Stat. Assoc. 55, 324-330; Andrews (1993), Econometrica 61, 821-856.
    """
    values, at = _series(y, x)
    inputs.choice("noise", noise, NOISES)
    level, fewest = inputs.fraction("alpha", alpha), _shortest(min_segment, at, values.size)
    if inputs.constant(values):
        raise ValueError("y: no variance, so there is nothing to break")
    per_side = 1 if at is None else 2
    ratios = break_statistics(values[None, :], at, fewest)[0]
    best = int(np.argmax(ratios))
    after, sup_f = best + fewest, float(ratios[best])
    df = values.size - 2 * per_side
    p, r1 = _searched_p(values, at, fewest, noise, seed)
    means, slopes, intercepts = _sides(values, at, after)
    exact = not np.isfinite(sup_f)
    return Break(
        break_after=after,
        x_before=None if at is None else float(at[after - 1]),
        x_after=None if at is None else float(at[after]),
        means=means,
        slopes=slopes,
        intercepts=intercepts,
        sup_F=sup_f,
        p=p,
        decision="two regimes" if p < level else "one regime",
        naive_p=float(stats.f.sf(sup_f / per_side, per_side, df)),
        r1=r1,
        noise=noise,
        n=values.size,
        min_segment=fewest,
        alpha=level,
        reason="both sides fit exactly: sup_F is infinite" if exact else None,
    )


def fixed_break(y: ArrayLike, break_after: int, x: ArrayLike | None = None) -> FixedBreak:
    """Test a break whose place was fixed in advance, for example from a memory capacity.

    Parameters
    ----------
    y, x : as in `single_break`.
    break_after : number of values before the break.

    Returns
    -------
    FixedBreak
        The ordinary F test, exact for independent normal errors.

    Raises
    ------
    ValueError
        Too few values on a side; no variance inside the sides.

    Notes
    -----
    Chow (1960), Econometrica 28, 591-605.
    """
    values, at = _series(y, x)
    per_side = 1 if at is None else 2
    after = inputs.whole("break_after", break_after, per_side)
    if values.size - after < per_side or values.size <= 2 * per_side:
        raise ValueError("break_after: leaves too few values after the break")
    whole, left, right = (
        two_lines(part, None if at is None else at[where])[2]
        for part, where in (
            (values, slice(None)),
            (values[:after], slice(after)),
            (values[after:], slice(after, None)),
        )
    )
    if left + right <= 1e-24 * whole or whole == 0:
        raise ValueError("y: no variance inside the two sides, so F is undefined")
    df = per_side, values.size - 2 * per_side
    f = (whole - left - right) / df[0] / ((left + right) / df[1])
    means, slopes, _ = _sides(values, at, after)
    return FixedBreak(after, means, slopes, float(f), df, float(stats.f.sf(f, *df)))


def segments(y: ArrayLike, min_segment: int = 1, penalty: float = PENALTY) -> Segments:
    """Split a series into constant levels by dynamic programming.

    Parameters
    ----------
    y : values in order, at most 2,000 (average longer series first).
    penalty : cost of a segment in units of ``sigma^2 log n``, where sigma is the robust spread of
        successive differences; so the answer does not depend on the unit of y.

    Returns
    -------
    Segments
        Index of each level's first value, and its mean.

    Raises
    ------
    ValueError
        More than 2,000 values or fewer than ``min_segment``.

    Notes
    -----
    Jackson et al. (2005), IEEE Signal Process. Lett. 12, 105-108 (optimal partitioning).
    """
    values = inputs.sample("y", y)
    fewest = inputs.whole("min_segment", min_segment, 1)
    inputs.number("penalty", penalty, above=0)
    if values.size > 2000 or values.size < fewest:
        raise ValueError(f"y: needs {fewest} to 2000 values, got {values.size}")
    sigma = _robust_sigma(values)
    cost = penalty * sigma**2 * max(float(np.log(values.size)), 1.0)
    starts = best_partition(values, fewest, cost)
    bounds = [*starts, values.size]
    means = tuple(float(values[a:b].mean()) for a, b in pairwise(bounds))
    return Segments(tuple(starts), means, sigma, values.size)


def _series(y: ArrayLike, x: ArrayLike | None) -> tuple[Floats, Floats | None]:
    values = inputs.sample("y", y, 3)
    if x is None:
        return values, None
    at = inputs.sample("x", x)
    inputs.same_length(y=values, x=at)
    if (np.diff(at) < 0).any():
        raise ValueError("x: must be ascending")
    return values, at


def _shortest(min_segment: int, at: Floats | None, size: int) -> int:
    fewest = inputs.whole("min_segment", min_segment, 2 if at is None else 3)
    if size < 2 * fewest + 1:
        raise ValueError(f"y: needs at least {2 * fewest + 1} values for min_segment {fewest}")
    return fewest


def _sides(values: Floats, at: Floats | None, after: int) -> tuple[Any, Any, Any]:
    if at is None:
        return (float(values[:after].mean()), float(values[after:].mean())), None, None
    left = two_lines(values[:after], at[:after])
    right = two_lines(values[after:], at[after:])
    return None, (left[1], right[1]), (left[0], right[0])


def _searched_p(
    values: Floats, at: Floats | None, fewest: int, noise: str, seed: int
) -> tuple[float, float]:
    """Return the p-value of the searched break and the residuals' lag-1 correlation."""
    inputs.whole("seed", seed, 0)
    if values.size > LONGEST_TESTED:
        count = LONGEST_TESTED
        values = np.array([part.mean() for part in np.array_split(values, count)])
        at = None if at is None else np.array([p.mean() for p in np.array_split(at, count)])
    return break_p_value(values, at, fewest, noise, seed)


def _robust_sigma(values: Floats) -> float:
    if values.size < 2:
        return 0.0
    gaps = np.diff(values)
    sigma = float(stats.median_abs_deviation(gaps, scale="normal")) / np.sqrt(2)
    return sigma if sigma > 0 else float(gaps.std()) / np.sqrt(2)
