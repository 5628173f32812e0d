"""What blocks are made of: variance within and between them, and how many of each to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.compare import Ratio, ratio
from inferometer.stats.inputs import MIN_BLOCKS, Floats
from inferometer.stats.intervals import mean_of_blocks
from inferometer.stats.result import Interval, Result, interval

Blocks = Sequence[ArrayLike] | Mapping[Any, ArrayLike]


@dataclass(frozen=True, repr=False)
class VarianceComponents(Result):
    """Variance of records inside blocks and between blocks, and what ignoring blocks would do.

    Variances are in the squared unit of the data. `var_between` is the moment estimate, kept at
    or above 0 (`truncated` says that it was negative). `ci` is Student's over block means,
    `naive_ci` pools all records; `width_ratio` is naive over right width.
    """

    grand_mean: float
    var_within: float | None
    var_between: float | None
    icc: float | None
    design_effect: float | None
    ci: Interval | None
    naive_ci: Interval | None
    width_ratio: float | None
    block_cv: float | None
    n_blocks: int
    n_records: int
    truncated: bool
    confidence: float
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class Plan(Result):
    """Kalibera-Jones plan; levels count from the lowest (requests) to the highest (blocks).

    `variances` are the unbiased components T^2, `raw_variances` the S^2 that still contain the
    levels below. `repetitions` has one entry per level but the highest.
    """

    mean: float
    variances: tuple[float, ...]
    raw_variances: tuple[float, ...]
    repetitions: tuple[int | None, ...]
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class BlockComparison(Result):
    """Ratio of two SUTs over blocks, beside what pooling their requests would have claimed.

    `naive` is the same ratio over pooled requests; `width_ratio` is the width of its interval on
    the log scale over that of the right one, so .2 means an interval five times too narrow.
    """

    ratio: Ratio
    naive: Ratio
    width_ratio: float | None
    a: VarianceComponents
    b: VarianceComponents
    reason: str | None = None


def variance_components(blocks: Blocks, confidence: float = 0.95) -> VarianceComponents:
    """Split the variance of records into within-block and between-block parts.

    Parameters
    ----------
    blocks : the records of each block, as a sequence or mapping of samples; sizes may differ.

    Returns
    -------
    VarianceComponents
        ``icc = between/(between + within)`` and ``design_effect = 1 + (n0 - 1) icc`` with n0 the
        effective block size. Components are None when every block has one record; intervals
        are None with fewer than 3 blocks.

    Raises
    ------
    ValueError
        Fewer than 2 blocks; an empty block; non-finite values.

    Notes
    -----
    Analysis-of-variance estimators: Searle, Casella and McCulloch (1992), sec. 3.6; design
    effect: Kish (1965), sec. 8.2.
    """
    data = inputs.groups("blocks", blocks)
    inputs.fraction("confidence", confidence)
    means = np.array([block.mean() for block in data])
    over_blocks = mean_of_blocks(means, confidence)
    pooled = np.concatenate(data)
    within, between, size = _components(data, means)
    kept = None if between is None else max(between, 0.0)
    total = None if within is None or kept is None else within + kept
    icc = kept / total if kept is not None and total else None
    naive_ci = _pooled_interval(pooled, confidence)
    return VarianceComponents(
        grand_mean=float(means.mean()),
        var_within=within,
        var_between=kept,
        icc=icc,
        design_effect=None if icc is None else 1 + (size - 1) * icc,
        ci=over_blocks.ci,
        naive_ci=naive_ci,
        width_ratio=_width_ratio(naive_ci, over_blocks.ci),
        block_cv=over_blocks.cv,
        n_blocks=len(data),
        n_records=pooled.size,
        truncated=between is not None and between < 0,
        confidence=confidence,
        reason=over_blocks.reason or _why_no_components(within, total),
    )


def comparison(
    a: Blocks, b: Blocks, confidence: float = 0.95, paired: bool = False
) -> BlockComparison:
    """Compare two SUTs from their records, block means first, and show what blocks do.

    Parameters
    ----------
    a, b : the records of each block of each SUT, all above 0; block i of `a` belongs to block i
        of `b` when `paired`.
    confidence : coverage of the intervals.

    Returns
    -------
    BlockComparison
        `ratio` is `compare.ratio` over block means; ICC and design effect are in `a` and `b`.
        Intervals are None with fewer than 3 blocks on a side.

    Raises
    ------
    ValueError
        Fewer than 2 blocks, empty or unequal blocks, values not above 0, no variance.

    Notes
    -----
    The block as replicate: Law and Kelton (2000), sec. 9.5; Kish (1965), sec. 8.2.
    """
    first, second = inputs.groups("a", a), inputs.groups("b", b)
    means = [[float(block.mean()) for block in side] for side in (first, second)]
    right = ratio(means[0], means[1], confidence, paired)
    naive = ratio(np.concatenate(first), np.concatenate(second), confidence)
    widths = [None if r.ci is None else log(r.ci[1] / r.ci[0]) for r in (naive, right)]
    return BlockComparison(
        ratio=right,
        naive=naive,
        width_ratio=None if widths[0] is None or widths[1] is None else widths[0] / widths[1],
        a=variance_components(first, confidence),
        b=variance_components(second, confidence),
        reason=right.reason,
    )


def plan(pilot: ArrayLike, costs: Sequence[float]) -> Plan:
    """Give the repetitions per level that buy the narrowest interval for the time spent.

    Parameters
    ----------
    pilot : balanced pilot values; the first axis counts the highest level (blocks), the last the
        lowest (requests); two or more axes, each at least 2 long.
    costs : cost of one more repetition at each level, lowest first, one per axis, in any one
        unit: the request itself, then what a block adds (start, warm-up).

    Returns
    -------
    Plan
        Optimal repetitions inside one unit of the level above, for every level but the highest
        (which takes what time is left); None, with a reason, where the level above adds no
        variance, so that repeating below it is free of loss.

    Raises
    ------
    ValueError
        An unbalanced pilot, too few values, costs not above 0 or of the wrong number.

    Notes
    -----
    Kalibera and Jones (2013), ISMM, 63-74, secs. 6.2 and 6.3.
    """
    values = np.asarray(pilot, dtype=np.float64)
    if values.ndim < 2 or min(values.shape) < 2:
        raise ValueError("pilot: needs 2 or more levels (axes), each with at least 2 repetitions")
    if not np.isfinite(values).all():
        raise ValueError("pilot: every value must be finite")
    prices = inputs.positive_sample("costs", costs)
    if prices.size != values.ndim:
        raise ValueError(f"costs: needs one cost per level, {values.ndim}, got {prices.size}")
    raw: list[float] = []
    unbiased: list[float] = []
    means, from_below = values, 0.0
    for repeats in reversed(values.shape):
        raw.append(float(means.var(axis=-1, ddof=1).mean()))
        unbiased.append(raw[-1] - from_below)
        means, from_below = means.mean(axis=-1), raw[-1] / repeats
    repetitions = tuple(
        _optimal(prices[i + 1] / prices[i], unbiased[i], unbiased[i + 1])
        for i in range(values.ndim - 1)
    )
    reason = "a level adds no variance of its own" if None in repetitions else None
    return Plan(float(values.mean()), tuple(unbiased), tuple(raw), repetitions, reason)


def _optimal(cost_ratio: float, below: float, above: float) -> int | None:
    if above <= 0:
        return None
    return max(1, ceil(sqrt(cost_ratio * max(below, 0.0) / above)))


def _components(data: list[Floats], means: Floats) -> tuple[float | None, float | None, float]:
    """Return within and between variance and the effective block size n0."""
    sizes = np.array([block.size for block in data])
    total, count = int(sizes.sum()), len(data)
    size = float((total - (sizes**2).sum() / total) / (count - 1))
    if total == count:
        return None, None, size
    squares = sum(
        float(((block - mean) ** 2).sum()) for block, mean in zip(data, means, strict=True)
    )
    within = squares / (total - count)
    weighted = float((sizes * means).sum() / total)
    mean_square = float((sizes * (means - weighted) ** 2).sum()) / (count - 1)
    return within, (mean_square - within) / size, size


def _pooled_interval(pooled: Floats, confidence: float) -> Interval | None:
    if pooled.size < MIN_BLOCKS or inputs.constant(pooled):
        return None
    half = float(stats.t.ppf((1 + confidence) / 2, pooled.size - 1))
    half *= float(pooled.std(ddof=1)) / sqrt(pooled.size)
    return interval(pooled.mean() - half, pooled.mean() + half)


def _width_ratio(naive: Interval | None, right: Interval | None) -> float | None:
    if naive is None or right is None:
        return None
    return (naive[1] - naive[0]) / (right[1] - right[0])


def _why_no_components(within: float | None, total: float | None) -> str | None:
    if within is None:
        return "one record per block: within and between cannot be told apart"
    return None if total else "all records are equal: no variance to split"
