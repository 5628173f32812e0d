"""Series of one run: warm-up, steady state, autocorrelation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft, stats

from inferometer.stats import inputs
from inferometer.stats.inputs import Floats
from inferometer.stats.regimes import segments
from inferometer.stats.result import Interval, Result, interval

BATCH = 5
MOST_POINTS = 200
DIRECTIONS = ("lower", "higher")


@dataclass(frozen=True, repr=False)
class WarmUp(Result):
    """How many first values to cut; None when no cut reaches a steady state."""

    cut: int | None
    statistic: float | None
    n: int
    rule: str = "MSER-5"
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class SteadyState(Result):
    """Class of a series: flat, warm-up, slow-down or no steady state.

    `steady_from` is the index of the first value of the last level, `steady_mean` its mean;
    `starts` and `means` describe all levels.
    """

    kind: str
    steady_from: int | None
    steady_mean: float | None
    starts: tuple[int, ...]
    means: tuple[float, ...]
    n: int
    tolerance: float
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class Autocorrelation(Result):
    """Lag-1 correlation, effective sample size, and two intervals of the mean."""

    mean: float
    r1: float | None
    ess: float | None
    batch_ci: Interval | None
    naive_ci: Interval | None
    batches: int
    n: int
    confidence: float
    reason: str | None = None


def warmup_mser5(x: ArrayLike) -> WarmUp:
    """Find the warm-up of a series by the MSER-5 rule.

    Parameters
    ----------
    x : values in order of time, any unit, at least 20.

    Returns
    -------
    WarmUp
        `cut` is the number of values before the cut that minimises the squared error of the mean
        of batches of 5 over cuts in the first half; None when the best cut is the last allowed.

    Raises
    ------
    ValueError
        Fewer than 20 values.

    Notes
    -----
    White, Cobb and Spratt (2000), Winter Simulation Conf., 755-760; White (1997), Simulation 69.
    """
    values = inputs.sample("x", x, 4 * BATCH)
    count = values.size // BATCH
    means = values[: count * BATCH].reshape(count, BATCH).mean(axis=1)
    means = means - means.mean()
    left = np.arange(count, 0, -1)
    sums = np.cumsum(means[::-1])[::-1]
    squares = np.cumsum(means[::-1] ** 2)[::-1]
    error = np.maximum(squares - sums**2 / left, 0.0) / left**2
    half = count // 2
    best = int(np.argmin(error[: half + 1]))
    if best == half:
        return WarmUp(None, None, values.size, reason="no steady state in the first half")
    return WarmUp(best * BATCH, float(error[best]), values.size)


def classify(
    x: ArrayLike, better: str = "lower", tolerance: float = 0.02, steady_share: float = 0.25
) -> SteadyState:
    """Classify a series of one run by its levels.

    Parameters
    ----------
    x : values in order of time, at least 20 (longer series are averaged to 200 points).
    better : "lower" for times, "higher" for rates.
    tolerance : levels within this share of the last one count as equal to it.
    steady_share : the share of the series that the last level must hold to be steady.

    Returns
    -------
    SteadyState
        "flat": one level, up to the tolerance; "warm-up": the last level is the best;
        "slow-down": an earlier level was better; "no steady state": the last level is too short.

    Raises
    ------
    ValueError
        Fewer than 20 values; an unknown direction; shares outside (0, 1).

    Notes
    -----
    Classes of Barrett et al. (2017), Proc. ACM Program. Lang. 1, OOPSLA 52; levels by
    `regimes.segments`.
    """
    values = inputs.sample("x", x, 20)
    inputs.choice("better", better, DIRECTIONS)
    inputs.fraction("tolerance", tolerance)
    inputs.fraction("steady_share", steady_share)
    parts = np.array_split(values, min(values.size, MOST_POINTS))
    firsts = np.concatenate([[0], np.cumsum([part.size for part in parts])])
    levels = segments([part.mean() for part in parts])
    starts = [int(firsts[start]) for start in levels.starts]
    starts, means = _merge(starts, list(levels.means), values, tolerance)
    kind, reason = _kind(starts, means, values.size, better, tolerance, steady_share)
    steady = kind != "no steady state"
    return SteadyState(
        kind=kind,
        steady_from=starts[-1] if steady else None,
        steady_mean=float(values[starts[-1] :].mean()) if steady else None,
        starts=tuple(starts),
        means=tuple(means),
        n=values.size,
        tolerance=tolerance,
        reason=reason,
    )


def autocorrelation(x: ArrayLike, confidence: float = 0.95) -> Autocorrelation:
    """Give the autocorrelation of a series and what it does to the interval of its mean.

    Parameters
    ----------
    x : values in order of time, at least 10.

    Returns
    -------
    Autocorrelation
        `ess` sums autocorrelations in pairs while they stay positive and fall; `batch_ci` is
        Student's over 10 to 20 batch means, `naive_ci` treats the values as independent. All are
        None for a constant series.

    Raises
    ------
    ValueError
        Fewer than 10 values.

    Notes
    -----
    Geyer (1992), Stat. Sci. 7, 473-483, sec. 3.3; batch means: Law and Kelton (2000), sec. 9.5.3.
    """
    values = inputs.sample("x", x, 10)
    inputs.fraction("confidence", confidence)
    mean, n = float(values.mean()), values.size
    if inputs.constant(values):
        reason = "all values are equal: no correlation is defined"
        return Autocorrelation(mean, None, None, None, None, 0, n, confidence, reason)
    rho = _correlations(values)
    batches = int(min(20, max(10, sqrt(n))))
    size = n // batches
    groups = values[n - batches * size :].reshape(batches, size).mean(axis=1)
    constant = inputs.constant(groups)
    return Autocorrelation(
        mean=mean,
        r1=float(rho[1]),
        ess=n / _inefficiency(rho),
        batch_ci=None if constant else _student(groups, confidence),
        naive_ci=_student(values, confidence),
        batches=batches,
        n=n,
        confidence=confidence,
        reason="all batch means are equal" if constant else None,
    )


def _merge(
    starts: list[int], means: list[float], values: Floats, tolerance: float
) -> tuple[list[int], list[float]]:
    """Join neighbouring levels that differ by less than the tolerance."""
    kept = [starts[0]]
    for index in range(1, len(starts)):
        before = float(values[kept[-1] : starts[index]].mean())
        if abs(means[index] - before) > tolerance * max(abs(means[index]), abs(before)):
            kept.append(starts[index])
    bounds = [*kept, values.size]
    joined = [float(values[a:b].mean()) for a, b in pairwise(bounds)]
    return kept, joined


def _kind(
    starts: list[int], means: list[float], n: int, better: str, tolerance: float, share: float
) -> tuple[str, str | None]:
    if len(starts) == 1:
        return "flat", None
    if n - starts[-1] < share * n:
        held = (n - starts[-1]) / n
        return "no steady state", f"the last level holds {held:.0%} of the series"
    sign = 1 if better == "lower" else -1
    margin = tolerance * abs(means[-1])
    faster = any(sign * (means[-1] - mean) > margin for mean in means[:-1])
    return ("slow-down" if faster else "warm-up"), None


def _correlations(values: Floats) -> Floats:
    """Return autocorrelations of all lags by fast Fourier transform."""
    centred = values - values.mean()
    size = fft.next_fast_len(2 * values.size)
    spectrum = fft.rfft(centred, size)
    products = fft.irfft(np.abs(spectrum) ** 2, size)[: values.size]
    correlations: Floats = products / products[0]
    return correlations


def _inefficiency(rho: Floats) -> float:
    """Return the factor by which correlation inflates the variance of the mean (at least 1/n)."""
    pairs = rho[: rho.size // 2 * 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    kept = pairs[: negative[0]] if negative.size else pairs
    falling = np.minimum.accumulate(kept)
    return max(float(2 * falling.sum() - 1), 1 / rho.size)


def _student(values: Floats, confidence: float) -> Interval:
    half = float(stats.t.ppf((1 + confidence) / 2, values.size - 1))
    half *= float(values.std(ddof=1)) / sqrt(values.size)
    return interval(values.mean() - half, values.mean() + half)
