"""Are arrivals Poisson? Dispersion of their counts and correlation of neighbouring gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.inputs import Floats
from inferometer.stats.result import Interval, Result, interval

PER_WINDOW = 5.0
"""Mean count of a window: fewer make chi-square a poor law for the sum of squares."""
FEWEST_GAPS = 10


@dataclass(frozen=True, repr=False)
class Dispersion(Result):
    """Index of dispersion of counts: their variance over their mean, 1 for Poisson arrivals.

    `windows` were counted in, in `runs`; `df` are the degrees of freedom of the sum of squares.
    """

    index: float | None
    ci: Interval | None
    df: int
    windows: int
    arrivals: int
    runs: int
    confidence: float
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class GapCorrelation(Result):
    """Lag-1 autocorrelation of the gaps between arrivals, 0 for any renewal process."""

    r1: float | None
    ci: Interval | None
    gaps: int
    runs: int
    confidence: float
    reason: str | None = None


def dispersion(
    runs: Sequence[ArrayLike], seconds: Sequence[float], confidence: float = 0.95
) -> Dispersion:
    """Give the index of dispersion of counts, pooled over runs of different rates.

    Parameters
    ----------
    runs : arrival times of each run, in seconds from its start, ascending.
    seconds : length of each run, above 0. Each is cut into equal windows with a mean count of
        about 5; a run with too few arrivals for 2 windows takes no part.

    Returns
    -------
    Dispersion
        ``sum (count - mean)^2 / mean`` over its degrees of freedom, with the chi-square interval
        of a variance. Where arrivals are Poisson the interval holds 1 as often as it says.

    Raises
    ------
    ValueError
        Descending arrivals, or some outside their run; no run; different numbers of both.

    Notes
    -----
    Cox and Lewis (1966), The Statistical Analysis of Series of Events, sec. 6.3, 6.4.
    """
    inputs.fraction("confidence", confidence)
    inputs.same_length(runs=runs, seconds=seconds)
    squares, df, windows, used, arrivals = 0.0, 0, 0, 0, 0
    for times, length in zip(_checked(runs), seconds, strict=True):
        span = inputs.number("seconds", length, above=0)
        if times.size and (times[0] < 0 or times[-1] > span):
            raise ValueError(
                f"runs: every arrival must lie between 0 and the {span:g} s of its run"
            )
        count = floor(times.size / PER_WINDOW)
        if count < 2:
            continue
        counts = np.histogram(times, bins=count, range=(0.0, span))[0]
        squares += float(((counts - counts.mean()) ** 2).sum() / counts.mean())
        df, windows, used = df + count - 1, windows + count, used + 1
        arrivals += times.size
    shared = (df, windows, arrivals, used, confidence)
    if not df:
        return Dispersion(None, None, *shared, reason="too few arrivals for two windows in any run")
    tails = stats.chi2.ppf([(1 + confidence) / 2, (1 - confidence) / 2], df)
    return Dispersion(squares / df, interval(*(squares / tails)), *shared)


def gap_correlation(runs: Sequence[ArrayLike], confidence: float = 0.95) -> GapCorrelation:
    """Give the lag-1 autocorrelation of gaps, averaged over runs by their numbers of gaps.

    Parameters
    ----------
    runs : arrival times of each run in seconds, ascending; those with fewer than 10 gaps, or with
        equal ones, take no part.

    Returns
    -------
    GapCorrelation
        With the normal interval of independent gaps, ``1/sqrt(gaps)`` as standard error; the bias
        of ``-1/n`` in each run is taken out.

    Raises
    ------
    ValueError
        Descending arrivals; no run.

    Notes
    -----
    Bartlett (1946), J. R. Stat. Soc. Suppl. 8, 27-41; Kendall (1954), Biometrika 41, 403-404.
    """
    inputs.fraction("confidence", confidence)
    found, weights = [], []
    for times in _checked(runs):
        gaps = np.diff(times)
        if gaps.size < FEWEST_GAPS or inputs.constant(gaps):
            continue
        centred = gaps - gaps.mean()
        found.append(float(centred[1:] @ centred[:-1] / (centred @ centred)) + 1 / gaps.size)
        weights.append(gaps.size)
    if not found:
        reason = f"no run has {FEWEST_GAPS} gaps that differ"
        return GapCorrelation(None, None, 0, 0, confidence, reason)
    total, mean = sum(weights), float(np.average(found, weights=weights))
    half = float(stats.norm.ppf((1 + confidence) / 2)) / sqrt(total)
    return GapCorrelation(mean, interval(mean - half, mean + half), total, len(found), confidence)


def _checked(runs: Sequence[ArrayLike]) -> list[Floats]:
    if not len(runs):
        raise ValueError("runs: needs at least 1 run")
    checked = [inputs.sample("runs", run, 0) for run in runs]
    if any((np.diff(times) < 0).any() for times in checked):
        raise ValueError("runs: arrival times must be ascending")
    return checked
