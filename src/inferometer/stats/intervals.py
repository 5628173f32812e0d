"""Intervals: of a mean over blocks, by bootstrap, and of a quantile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.inputs import MIN_BLOCKS, Floats
from inferometer.stats.result import Interval, Result, interval

FEWEST_FOR_BCA = 30
BATCH_VALUES = 2_000_000
CONSTANT = "all values are equal: their spread says nothing about the error"


@dataclass(frozen=True, repr=False)
class MeanInterval(Result):
    """Mean over blocks and Student's interval, in the unit of the data."""

    estimate: float
    ci: Interval | None
    sd: float | None
    se: float | None
    df: int | None
    cv: float | None
    n: int
    confidence: float
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class BootstrapInterval(Result):
    """Estimate with a resampling interval; `method` is "bootstrap-t" or "BCa"."""

    estimate: float
    ci: Interval | None
    se: float | None
    n: int
    resamples: int
    confidence: float
    method: str
    caution: str | None = None
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class QuantileInterval(Result):
    """Sample quantile between two order statistics.

    `ranks` count from 1; an end that no order statistic can give is None in `ranks` and in `ci`.
    `coverage` is the exact probability for independent values of a continuous law.
    """

    q: float
    estimate: float
    ranks: tuple[int | None, int | None]
    ci: tuple[float | None, float | None]
    coverage: float
    n: int
    confidence: float
    reason: str | None = None


def mean_of_blocks(block_values: ArrayLike, confidence: float = 0.95) -> MeanInterval:
    """Give the mean of block summaries with Student's t interval over blocks.

    Parameters
    ----------
    block_values : one value per block; averaging requests inside a block comes first.

    Returns
    -------
    MeanInterval
        In the unit of the data. With fewer than 3 blocks, or with equal values, `ci` is None.

    Raises
    ------
    ValueError
        Empty or non-finite values; a confidence outside (0, 1).

    Notes
    -----
    Student (1908), Biometrika 6, 1-25; the batch as replicate: Law and Kelton (2000), sec. 9.5.
    """
    values = inputs.sample("block_values", block_values)
    inputs.fraction("confidence", confidence)
    mean, n = float(values.mean()), values.size
    if n < MIN_BLOCKS:
        return MeanInterval(
            mean, None, None, None, None, None, n, confidence, _too_few(n, "blocks")
        )
    sd = float(values.std(ddof=1))
    cv = sd / abs(mean) if mean else None
    if inputs.constant(values):
        return MeanInterval(mean, None, sd, None, None, cv, n, confidence, CONSTANT)
    se = sd / sqrt(n)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * se
    ci = interval(mean - half, mean + half)
    return MeanInterval(mean, ci, sd, se, n - 1, cv, n, confidence)


def bootstrap_t(
    values: ArrayLike, confidence: float = 0.95, resamples: int = 4999, seed: int = 0
) -> BootstrapInterval:
    """Give the mean of a few skewed values with a studentised bootstrap interval.

    Parameters
    ----------
    values : one value per block (or any independent values), at least 3 for an interval.
    resamples : bootstrap samples, at least 999.
    seed : of the resampling; the same seed gives the same interval.

    Returns
    -------
    BootstrapInterval
        In the unit of the data; not symmetric about the estimate. Resamples without variance
        are redrawn. `ci` is None for fewer than 3 values or equal values.

    Raises
    ------
    ValueError
        Empty or non-finite values; a confidence outside (0, 1); too few resamples.

    Notes
    -----
    Efron (1982), CBMS-NSF 38, sec. 10.10; Hall (1988), Ann. Stat. 16, 927-953.
    """
    data = inputs.sample("values", values)
    inputs.fraction("confidence", confidence)
    count = inputs.whole("resamples", resamples, 999)
    rng = inputs.generator("seed", seed)
    mean, n = float(data.mean()), data.size
    reason = _too_few(n, "values") if n < MIN_BLOCKS else None
    if reason is None and inputs.constant(data):
        reason = CONSTANT
    if reason is not None:
        return BootstrapInterval(
            mean, None, None, n, count, confidence, "bootstrap-t", reason=reason
        )
    se = float(data.std(ddof=1)) / sqrt(n)
    pivots = _studentised_means(data, count, rng)
    low, high = np.quantile(pivots, [(1 - confidence) / 2, (1 + confidence) / 2])
    ci = interval(mean - high * se, mean - low * se)
    return BootstrapInterval(mean, ci, se, n, count, confidence, "bootstrap-t")


def bca(
    values: ArrayLike,
    confidence: float = 0.95,
    statistic: Callable[..., Any] = np.mean,
    resamples: int = 4999,
    seed: int = 0,
) -> BootstrapInterval:
    """Give a statistic of hundreds of prompts or items with a BCa bootstrap interval.

    Parameters
    ----------
    values : independent values (items, prompts), not blocks: over 7 blocks a nominal 95 %
        interval of this kind covers about 87 %; fewer than 30 values carry a `caution`.
    statistic : a function of a sample that accepts `axis`, such as ``numpy.mean``.

    Returns
    -------
    BootstrapInterval
        In the unit of the statistic; `ci` is None where BCa is undefined (degenerate data).

    Raises
    ------
    ValueError
        Empty or non-finite values; a confidence outside (0, 1); too few resamples.

    Notes
    -----
    Efron (1987), J. Am. Stat. Assoc. 82, 171-185, computed by ``scipy.stats.bootstrap``.
    """
    data = inputs.sample("values", values)
    inputs.fraction("confidence", confidence)
    count = inputs.whole("resamples", resamples, 999)
    rng = inputs.generator("seed", seed)
    estimate, n = float(statistic(data)), data.size
    shared: dict[str, Any] = {"n": n, "resamples": count, "confidence": confidence, "method": "BCa"}
    if n < 2 or inputs.constant(data):
        reason = _too_few(n, "values", 2) if n < 2 else CONSTANT
        return BootstrapInterval(estimate, None, None, **shared, reason=reason)
    with np.errstate(all="ignore"):
        fit = stats.bootstrap(
            (data,),
            statistic,
            n_resamples=count,
            confidence_level=confidence,
            method="BCa",
            rng=rng,
            batch=max(1, BATCH_VALUES // n),
        )
    low, high = float(fit.confidence_interval.low), float(fit.confidence_interval.high)
    if not np.isfinite([low, high]).all() or low == high:
        reason = "BCa is undefined here: the resamples are degenerate"
        return BootstrapInterval(estimate, None, None, **shared, reason=reason)
    caution = f"BCa covers too little below {FEWEST_FOR_BCA} values" if n < FEWEST_FOR_BCA else None
    se = float(fit.standard_error)
    return BootstrapInterval(estimate, interval(low, high), se, **shared, caution=caution)


def quantile(x: ArrayLike, q: float, confidence: float = 0.95) -> QuantileInterval:
    """Give a quantile of independent values with an exact order-statistic interval.

    Parameters
    ----------
    x : independent values. For requests that share blocks, take the quantile in each block and
        use `mean_of_blocks`.
    q : the quantile, strictly between 0 and 1 (.95 for p95).

    Returns
    -------
    QuantileInterval
        Each tail keeps at most ``(1 - confidence)/2``. An end is None where the sample is too
        small: at 95 % the upper end of p95 needs 72 values, that of p99 368.

    Raises
    ------
    ValueError
        Empty or non-finite values; `q` or `confidence` outside (0, 1).

    Notes
    -----
    David and Nagaraja (2003), Order Statistics, sec. 7.1. The estimate interpolates linearly
    (Hyndman and Fan 1996, type 7).
    """
    data = np.sort(inputs.sample("x", x))
    share, n = inputs.fraction("q", q), data.size
    tail = (1 - inputs.fraction("confidence", confidence)) / 2
    law = stats.binom(n, share)
    ranks = np.arange(1, n + 1)
    below = ranks[law.cdf(ranks - 1) <= tail]
    above = ranks[law.sf(ranks - 1) <= tail]
    low = int(below[-1]) if below.size else None
    high = int(above[0]) if above.size else None
    upper = 1.0 if high is None else float(law.cdf(high - 1))
    lower = 0.0 if low is None else float(law.cdf(low - 1))
    return QuantileInterval(
        q=share,
        estimate=float(np.quantile(data, share)),
        ranks=(low, high),
        ci=(
            None if low is None else float(data[low - 1]),
            None if high is None else float(data[high - 1]),
        ),
        coverage=upper - lower,
        n=n,
        confidence=confidence,
        reason=_unbounded(n, share, tail, low, high),
    )


def _too_few(n: int, unit: str, needed: int = MIN_BLOCKS) -> str:
    return f"{n} of the {needed} {unit} that an interval needs"


def _studentised_means(data: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Draw `count` bootstrap t statistics of the mean, skipping resamples without variance."""
    kept: list[Floats] = []
    missing, n = count, data.size
    centred = data - data.mean()
    floor = 1e-12 * float(np.abs(centred).max())
    while missing > 0:
        rows = min(missing, max(1, BATCH_VALUES // n))
        drawn = centred[rng.integers(0, n, size=(rows, n))]
        sd = drawn.std(axis=1, ddof=1)
        usable = sd > floor
        kept.append(drawn[usable].mean(axis=1) / (sd[usable] / sqrt(n)))
        missing -= int(usable.sum())
    return np.concatenate(kept)


def _unbounded(n: int, q: float, tail: float, low: int | None, high: int | None) -> str | None:
    parts = []
    if low is None:
        parts.append(f"unbounded below: {n} values, {_needed(1 - q, tail)} needed")
    if high is None:
        parts.append(f"unbounded above: {n} values, {_needed(q, tail)} needed")
    return "; ".join(parts) or None


def _needed(share: float, tail: float) -> int:
    return int(np.ceil(np.log(tail) / np.log(share)))
