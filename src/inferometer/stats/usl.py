"""The Universal Scalability Law fitted to total throughput."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from inferometer.stats import inputs
from inferometer.stats.amdahl import (
    EXACT_FIT,
    LawFit,
    aicc,
    fit_law,
    law_profile,
    r_squared,
    x1_interval,
)
from inferometer.stats.inputs import Floats
from inferometer.stats.result import Interval, Result, interval
from inferometer.stats.scaling_laws import (
    USL,
    Problem,
    covariance,
    minimise,
    profile_interval,
    t_interval,
)
from inferometer.stats.scaling_records import scaling_records

SCALES = ("linear", "log")
AT_BOUND = "at its bound of 0: no covariance, one-sided profile interval"

Profile = tuple[float, float | None]


@dataclass(frozen=True, repr=False)
class UslFit(Result):
    """USL: ``X(N) = gamma N / (1 + alpha (N-1) + beta N (N-1))``.

    `gamma` is the total throughput at N = 1, `alpha` the cost of contention, `beta` that of
    coherency; `se`, `ci` (Student) and `ci_profile` are by parameter, None at a bound.
    `peak_n` is ``sqrt((1-alpha)/beta)``, None when beta is 0; `limit` is the largest speed-up
    that the law allows: at the peak, or ``1/alpha`` without one.
    """

    gamma: float
    alpha: float
    beta: float
    se: dict[str, float | None]
    ci: dict[str, Interval | None]
    ci_profile: dict[str, Profile | None]
    peak_n: float | None
    limit: float | None
    r2: float | None
    aicc: float | None
    rss: float
    df: int
    n_records: int
    scale: str
    confidence: float
    reason: str | None = None


def fit_usl(
    n: ArrayLike,
    x: ArrayLike,
    scale: str = "linear",
    block: Iterable[Any] | None = None,
    confidence: float = 0.95,
) -> UslFit:
    """Fit the Universal Scalability Law to total throughput.

    Parameters
    ----------
    n : number of agents of each record, at least 1, at least three different ones.
    x : total throughput of each record (all agents together), above 0, any unit.
    scale : "linear" for least squares on x, as published fits do; "log" for least squares on
        ``log x``, for errors that grow with x, and to stand beside `fit_amdahl`.
    block : the block of each record ("log" only): one gamma per block.
    confidence : coverage of the intervals.

    Returns
    -------
    UslFit
        With ``alpha, beta >= 0``. Intervals are None without residual degrees of freedom, with
        fewer than 3 declared blocks, or on an exact fit; `se` and `ci` also at a bound, where
        only the one-sided `ci_profile` exists. `aicc` is that of x in its own unit on either
        scale.

    Raises
    ------
    ValueError
        Bad, unequal or non-positive input; fewer than 3 different N; blocks on the linear scale.

    Notes
    -----
    Gunther (2007), Guerrilla Capacity Planning, eq. 4.31; profile interval: Bates and Watts
    (1988), sec. 6.1.
    """
    inputs.choice("scale", scale, SCALES)
    inputs.fraction("confidence", confidence)
    agents = inputs.sample("n", n, 3)
    total = inputs.positive_sample("x", x, 3)
    inputs.same_length(n=agents, x=total)
    if (agents < 1).any() or np.unique(agents).size < 3:
        raise ValueError("n: needs at least 3 different numbers of agents, each at least 1")
    if scale == "log":
        return _on_log_scale(agents, total, block, confidence)
    if block is not None:
        raise ValueError("block: blocks need scale='log', where each has its own gamma")
    return _on_linear_scale(agents, total, confidence)


def usl_peak(alpha: float, beta: float) -> tuple[float | None, float | None]:
    """Return the N of the largest total throughput (at least 1) and the speed-up there."""
    if beta > 0:
        peak = max(sqrt(max(1 - alpha, 0.0) / beta), 1.0)
        return peak, peak / (1 + alpha * (peak - 1) + beta * peak * (peak - 1))
    return None, 1 / alpha if alpha > 0 else None


def _on_log_scale(
    agents: Floats, total: Floats, block: Iterable[Any] | None, confidence: float
) -> UslFit:
    fit = fit_law(USL, scaling_records(agents, total / agents, block))
    records = fit.records
    intercepts = records.intercepts(USL.log_value(records.n, fit.theta))
    score = aicc(fit)
    gamma_ci = x1_interval(fit, confidence)
    ends = _shape_intervals(fit, confidence)
    ends["ci"]["gamma"] = gamma_ci
    return _dressed(
        exp(float(intercepts.mean())),
        fit.theta,
        ends,
        r2=r_squared(fit),
        aicc=None if score is None else score + 2 * float(np.log(records.n).sum()),
        rss=fit.rss,
        df=fit.df,
        n_records=records.size,
        scale="log",
        confidence=confidence,
        reason=fit.reason or _bound_reason(fit.theta),
    )


def _shape_intervals(fit: LawFit, confidence: float) -> dict[str, dict[str, Any]]:
    ends: dict[str, dict[str, Any]] = _nothing()
    if fit.reason is not None:
        return ends
    for index, name in enumerate(USL.parameters):
        ends["ci_profile"][name] = law_profile(fit, index, confidence)
        if fit.covariance is not None and fit.theta[index] > 0:
            se = sqrt(float(fit.covariance[index, index]))
            ends["se"][name] = se
            ends["ci"][name] = t_interval(float(fit.theta[index]), se, fit.df, confidence)
    return ends


def _on_linear_scale(agents: Floats, total: Floats, confidence: float) -> UslFit:
    levels, level_of = np.unique(agents, return_inverse=True)
    counts = np.bincount(level_of).astype(float)
    means = np.bincount(level_of, total) / counts
    pure = float(((total - means[level_of]) ** 2).sum())
    problem = Problem(lambda theta: _linear_residuals(theta, levels, means, counts), pure)
    theta, rss = minimise(problem, 2)
    curve = levels * np.exp(USL.log_value(levels, theta))
    gamma = float((counts * curve) @ means / ((counts * curve) @ curve))
    size, df = agents.size, agents.size - 3
    scale = float(((total - total.mean()) ** 2).sum())
    reason = _why_nothing(df, rss, scale)
    slopes = curve[:, None] * np.column_stack([np.ones(levels.size), np.zeros((levels.size, 2))])
    slopes[:, 1:] = gamma * curve[:, None] * USL.gradient(levels, theta)
    ends = _nothing()
    if reason is None:
        free = np.append(True, theta > 0)
        weighted = np.sqrt(counts)[:, None] * slopes
        ends = _linear_intervals(
            gamma, theta, free, covariance(weighted, free, rss / df), df, confidence
        )
        for index, name in enumerate(USL.parameters):
            free[index + 1] = True
            near = covariance(weighted, free, rss / df)
            se = None if near is None else sqrt(float(near[index + 1, index + 1]))
            free[index + 1] = theta[index] > 0
            ends["ci_profile"][name] = profile_interval(
                problem, theta, rss, index, se, df, confidence
            )
    return _dressed(
        gamma,
        theta,
        ends,
        r2=1 - rss / scale if scale else None,
        aicc=_linear_aicc(rss, size) if reason != EXACT_FIT else None,
        rss=rss,
        df=df,
        n_records=size,
        scale="linear",
        confidence=confidence,
        reason=reason or _bound_reason(theta),
    )


def _linear_residuals(theta: Floats, levels: Floats, means: Floats, counts: Floats) -> Floats:
    """Weighted residuals of the level means with gamma at its least-squares value."""
    curve = levels * np.exp(USL.log_value(levels, theta))
    gamma = (curve * counts * means).sum(axis=-1) / (curve**2 * counts).sum(axis=-1)
    residuals: Floats = np.sqrt(counts) * (means - gamma[..., None] * curve)
    return residuals


def _linear_intervals(
    gamma: float, theta: Floats, free: Any, spread: Floats | None, df: int, confidence: float
) -> dict[str, dict[str, Any]]:
    ends = _nothing()
    if spread is None:
        return ends
    errors = np.sqrt(np.diag(spread))
    for name, value, se, is_free in zip(ends["se"], (gamma, *theta), errors, free, strict=True):
        if not is_free:
            continue
        ends["se"][name] = float(se)
        ends["ci"][name] = interval(*t_interval(float(value), se, df, confidence))
    return ends


def _nothing() -> dict[str, dict[str, Any]]:
    names = ("gamma", *USL.parameters)
    empty: dict[str, dict[str, Any]] = {key: dict.fromkeys(names) for key in ("se", "ci")}
    return empty | {"ci_profile": dict.fromkeys(USL.parameters)}


def _dressed(gamma: float, theta: Floats, ends: dict[str, Any], **rest: Any) -> UslFit:
    alpha, beta = (float(value) for value in theta)
    peak, limit = usl_peak(alpha, beta)
    return UslFit(gamma=gamma, alpha=alpha, beta=beta, **ends, peak_n=peak, limit=limit, **rest)


def _why_nothing(df: int, rss: float, scale: float) -> str | None:
    if df < 1:
        return "no residual degree of freedom: as many parameters as records"
    return EXACT_FIT if rss <= 1e-20 * scale else None


def _bound_reason(theta: Floats) -> str | None:
    names = [name for name, value in zip(USL.parameters, theta, strict=True) if value == 0]
    return f"{' and '.join(names)} {AT_BOUND}" if names else None


def _linear_aicc(rss: float, size: int) -> float | None:
    k = 4
    if size - k - 1 <= 0:
        return None
    return size * (log(2 * pi * rss / size) + 1) + 2 * k + 2 * k * (k + 1) / (size - k - 1)
