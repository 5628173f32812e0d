"""Nonlinear least squares with several starts, to the last digit that doubles allow."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeWarning, curve_fit

from inferometer.stats import inputs
from inferometer.stats.inputs import Floats
from inferometer.stats.polish import polished
from inferometer.stats.result import Interval, Result, interval
from inferometer.stats.scaling_laws import t_interval

TOLERANCE = 1e-14


@dataclass(frozen=True, repr=False)
class CurveFit(Result):
    """Least-squares parameters; `se` and `ci` are None when the covariance is undefined."""

    parameters: tuple[float, ...]
    se: tuple[float, ...] | None
    ci: tuple[Interval, ...] | None
    rss: float
    df: int
    confidence: float
    reason: str | None = None


def fit_curve(
    curve: Callable[..., Floats],
    x: ArrayLike,
    y: ArrayLike,
    starts: Sequence[Sequence[float]],
    confidence: float = 0.95,
) -> CurveFit:
    """Fit ``y = curve(x, *parameters)`` by Levenberg-Marquardt from several starts.

    Parameters
    ----------
    curve : function of x and the parameters.
    x, y : records, equal lengths, at least as many as parameters.
    starts : parameter vectors to begin from; the least sum of squares wins.

    Returns
    -------
    CurveFit
        `se` and `ci` (Student, n - p degrees of freedom) are None when n = p, on an exact fit,
        or when the covariance is singular.

    Raises
    ------
    ValueError
        Bad or unequal input, no start, or no start from which the fit converges.

    Notes
    -----
    More (1978), the Levenberg-Marquardt algorithm of MINPACK, as ``scipy.optimize.curve_fit``;
    where the curve takes complex numbers, parameters and covariance are then those of `polish`.
    """
    at, values = inputs.sample("x", x), inputs.sample("y", y)
    inputs.same_length(x=at, y=values)
    inputs.fraction("confidence", confidence)
    if not len(starts):
        raise ValueError("starts: needs at least one parameter vector")
    found = [fit for start in starts if (fit := _from_start(curve, at, values, start)) is not None]
    if not found:
        raise ValueError("starts: the fit converges from none of them")
    parameters, spread, rss = min(found, key=lambda fit: fit[2])
    df = values.size - parameters.size
    if df > 0 and (finer := polished(lambda p: curve(at, *p) - values, parameters)) is not None:
        parameters, slopes = finer
        rss = _rss(curve, at, values, parameters)
        half = np.linalg.inv(np.linalg.qr(slopes).R)
        spread = half @ half.T * rss / df
    reason = _undefined(df, rss, spread, values)
    shown = tuple(float(value) for value in parameters)
    if reason is not None:
        return CurveFit(shown, None, None, rss, df, confidence, reason)
    se = tuple(float(value) for value in np.sqrt(np.diag(spread)))
    ends = (t_interval(p, e, df, confidence) for p, e in zip(shown, se, strict=True))
    return CurveFit(shown, se, tuple(interval(*end) for end in ends), rss, df, confidence)


def _from_start(
    curve: Callable[..., Floats], x: Floats, y: Floats, start: Sequence[float]
) -> tuple[Floats, Floats, float] | None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            parameters, spread = curve_fit(
                curve,
                x,
                y,
                p0=start,
                method="lm",
                xtol=TOLERANCE,
                ftol=TOLERANCE,
                gtol=TOLERANCE,
                maxfev=20000,
            )
        except (RuntimeError, ValueError):
            return None
        rss = _rss(curve, x, y, parameters)
    return (parameters, spread, rss) if np.isfinite(rss) else None


def _rss(curve: Callable[..., Floats], x: Floats, y: Floats, parameters: Floats) -> float:
    return float(((y - curve(x, *parameters)) ** 2).sum())


def _undefined(df: int, rss: float, spread: Floats, y: Floats) -> str | None:
    if df < 1:
        return "no residual degree of freedom: as many parameters as records"
    if rss <= 1e-24 * float((y**2).sum()):
        return "the records lie exactly on the curve: no error to estimate"
    if not np.isfinite(spread).all() or (np.diag(spread) <= 0).any():
        return "the covariance is singular: the parameters cannot be told apart"
    return None
