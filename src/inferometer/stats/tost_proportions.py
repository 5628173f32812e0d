"""Equivalence of two success rates: different items (independent) or the same items (paired)."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq

from inferometer.stats import inputs
from inferometer.stats.result import interval
from inferometer.stats.tost_result import ALPHA, Equivalence

Score = Callable[[float], float]


def tost_proportions(k1: int, n1: int, k2: int, n2: int, margin: float) -> Equivalence:
    """Test whether two independent success rates differ by less than `margin`.

    Parameters
    ----------
    k1, n1, k2, n2 : successes and trials of the two SUTs, each on items of its own.
    margin : half-width of the margin of ``k1/n1 - k2/n2``, strictly between 0 and 1.

    Returns
    -------
    Equivalence
        Score tests at both margins; `ci90` inverts them; `df` is None (a large-sample test).

    Raises
    ------
    ValueError
        Counts that are not whole or exceed their trials; a margin outside (0, 1).

    Notes
    -----
    Farrington and Manning (1990), Stat. Med. 9, 1447-1454.
    """
    first, trials1 = inputs.successes("k1", k1, "n1", n1)
    second, trials2 = inputs.successes("k2", k2, "n2", n2)
    counts = np.array([first, trials1, second, trials2])

    def z(delta: float) -> float:
        return _farrington_manning(counts, delta)

    return _from_score(first / trials1 - second / trials2, z, margin)


def tost_paired_proportions(table: ArrayLike, margin: float) -> Equivalence:
    """Test whether two SUTs' success rates on the same items differ by less than `margin`.

    Parameters
    ----------
    table : 2 x 2 counts of items; rows are the first SUT (right, wrong), columns the second.
    margin : half-width of the margin of the difference of the rates, strictly between 0 and 1.

    Returns
    -------
    Equivalence
        Score tests at both margins; `ci90` inverts them; `df` is None (a large-sample test).

    Raises
    ------
    ValueError
        A table that is not 2 x 2 whole counts; a margin outside (0, 1).

    Notes
    -----
    Tango (1998), Stat. Med. 17, 891-908, eqs. 4-6.
    """
    counts = inputs.paired_table("table", table)
    only_first, only_second = int(counts[0, 1]), int(counts[1, 0])
    total = int(counts.sum())

    def z(delta: float) -> float:
        return _tango(only_first, only_second, total, delta)

    return _from_score((only_first - only_second) / total, z, margin)


def _from_score(estimate: float, z: Score, margin: float) -> Equivalence:
    half = inputs.fraction("margin", margin)
    p_lower = float(stats.norm.sf(z(-half)))
    p_upper = float(stats.norm.cdf(z(half)))
    low, high = _invert(estimate, z)
    p = max(p_lower, p_upper)
    return Equivalence(
        estimate=estimate,
        df=None,
        p_lower=p_lower,
        p_upper=p_upper,
        p=p,
        ci90=interval(low, high),
        equivalent=p < ALPHA,
        low=-half,
        upp=half,
        supported=max(abs(low), abs(high)),
        scale="difference",
    )


def _invert(estimate: float, z: Score) -> tuple[float, float]:
    """Return the differences that neither one-sided score test rejects at .05."""
    critical = float(stats.norm.ppf(1 - ALPHA))
    edge = 1 - 1e-12
    low, high = -1.0, 1.0
    if estimate > -edge and z(-edge) > critical:
        low = brentq(lambda d: z(d) - critical, -edge, min(estimate, edge), xtol=1e-13)
    if estimate < edge and z(edge) < -critical:
        high = brentq(lambda d: z(d) + critical, max(estimate, -edge), edge, xtol=1e-13)
    return float(low), float(high)


def _tango(only_first: int, only_second: int, total: int, delta: float) -> float:
    """Score statistic for a paired difference of `delta`; q is the restricted estimate."""
    b = -only_first - only_second + (2 * total - only_first + only_second) * delta
    c = -only_second * delta * (1 - delta)
    q = (sqrt(max(b * b - 8 * total * c, 0.0)) - b) / (4 * total)
    variance = total * (2 * q + delta * (1 - delta))
    gap = only_first - only_second - total * delta
    return _standardised(gap, variance)


def _farrington_manning(counts: np.ndarray, delta: float) -> float:
    """Score statistic for p1 - p2 = delta with both rates estimated under that restriction."""
    k1, n1, k2, n2 = (float(value) for value in counts)
    p1, p2, theta = k1 / n1, k2 / n2, n2 / n1
    a = 1 + theta
    b = -(1 + theta + p1 + theta * p2 + delta * (theta + 2))
    c = delta * delta + delta * (2 * p1 + theta + 1) + p1 + theta * p2
    d = -p1 * delta * (1 + delta)
    v = b**3 / (27 * a**3) - b * c / (6 * a * a) + d / (2 * a)
    u = np.copysign(sqrt(max(b * b / (9 * a * a) - c / (3 * a), 0.0)), v)
    ratio = 1.0 if u == 0 else min(max(v / u**3, -1.0), 1.0)
    w = (np.pi + np.arccos(ratio)) / 3
    rate1 = min(max(2 * u * np.cos(w) - b / (3 * a), 0.0), 1.0)
    rate2 = min(max(rate1 - delta, 0.0), 1.0)
    variance = rate1 * (1 - rate1) / n1 + rate2 * (1 - rate2) / n2
    return _standardised(p1 - p2 - delta, variance)


def _standardised(gap: float, variance: float) -> float:
    if variance <= 0:
        return 0.0 if abs(gap) < 1e-12 else float(np.copysign(np.inf, gap))
    return float(gap / sqrt(variance))
