"""Standardised effect sizes with exact noncentral-t intervals."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq

from inferometer.stats import inputs
from inferometer.stats.inputs import Floats
from inferometer.stats.result import Interval, Result, interval


@dataclass(frozen=True, repr=False)
class EffectSize(Result):
    """Standardised mean difference: d (pooled sd) and g (d without its small-sample bias)."""

    d: float
    g: float
    ci_d: Interval
    ci_g: Interval
    df: int
    confidence: float


def effect_size(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> EffectSize:
    """Express a difference of two means in standard deviations.

    Parameters
    ----------
    a, b : one value per block, at least 2 on each side.

    Returns
    -------
    EffectSize
        ``d = (mean(a) - mean(b)) / pooled sd`` and ``g = J d`` with the exact
        ``J = gamma(df/2) / (sqrt(df/2) gamma((df-1)/2))``. Intervals are those of the
        noncentrality of t, rescaled.

    Raises
    ------
    ValueError
        Fewer than 2 values on a side; no variance on either side.

    Notes
    -----
    Hedges (1981), J. Educ. Stat. 6, 107-128, eq. 6e; Steiger and Fouladi (1997) for the interval.
    """
    first, second = inputs.sample("a", a, 2), inputs.sample("b", b, 2)
    inputs.fraction("confidence", confidence)
    refuse_constant(first, second)
    df = first.size + second.size - 2
    squares = (first.size - 1) * first.var(ddof=1) + (second.size - 1) * second.var(ddof=1)
    d = float((first.mean() - second.mean()) / sqrt(squares / df))
    factor = exp(lgamma(df / 2) - lgamma((df - 1) / 2)) / sqrt(df / 2)
    scale = sqrt(1 / first.size + 1 / second.size)
    low, high = (end * scale for end in _noncentrality_interval(d / scale, df, confidence))
    ci_g = interval(factor * low, factor * high)
    return EffectSize(d, factor * d, interval(low, high), ci_g, df, confidence)


def noncentral_t_cdf(t: float, df: float, ncp: float) -> float:
    """Return the distribution function of noncentral t, 0 or 1 where scipy's underflows to NaN."""
    with np.errstate(all="ignore"):
        value = float(stats.nct.cdf(t, df, ncp))
    return value if np.isfinite(value) else float(ncp < t)


def refuse_constant(first: Floats, second: Floats) -> None:
    """Refuse two samples without any variance."""
    if inputs.constant(first) and inputs.constant(second):
        raise ValueError("a, b: no variance on either side, so no error can be estimated")


def _noncentrality_interval(t: float, df: int, confidence: float) -> Interval:
    def solve(target: float) -> float:
        def miss(ncp: float) -> float:
            return noncentral_t_cdf(t, df, ncp) - target

        step, low, high = 1.0, t, t
        while miss(low) < 0:
            low, step = low - step, 2 * step
        step = 1.0
        while miss(high) > 0:
            high, step = high + step, 2 * step
        return float(brentq(miss, low, high, xtol=1e-12, rtol=1e-12))

    return interval(solve((1 + confidence) / 2), solve((1 - confidence) / 2))
