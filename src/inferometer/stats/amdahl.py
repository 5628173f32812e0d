"""Amdahl's law fitted to per-agent throughput."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.inputs import MIN_BLOCKS, Floats
from inferometer.stats.result import Interval, Result, interval
from inferometer.stats.scaling_laws import (
    AMDAHL,
    Law,
    Problem,
    covariance,
    minimise,
    profile_interval,
    t_interval,
)
from inferometer.stats.scaling_records import ScalingRecords, scaling_records

AT_ZERO = "s is at its bound of 0: one-sided profile interval, no covariance, no finite limit"
EXACT_FIT = "the records lie exactly on the curve: no error to estimate"


@dataclass(frozen=True, repr=False)
class LackOfFit(Result):
    """F test of a law against one free mean per N; a small p says that the law is wrong."""

    F: float | None
    df: tuple[int, int] | None
    p: float | None
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class AmdahlFit(Result):
    """Amdahl's law: efficiency ``eta(N) = 1/(1 + s(N-1))``, speed-up ``N eta(N)``, limit ``1/s``.

    `s` is the serial fraction; `x1` the throughput of one agent alone (geometric mean over
    blocks) in the unit of the records; `r2`, `rss` and `aicc` are on the log scale, where a high
    `r2` is no evidence for the law. `ci_profile` may end in None: no upper end.
    `limit_consistent` is False when the fitted limit lies below the best measured speed-up.
    """

    s: float
    x1: float
    se_s: float | None
    ci_delta: Interval | None
    ci_profile: tuple[float, float | None] | None
    ci_x1: Interval | None
    r2: float | None
    lack_of_fit: LackOfFit
    limit: float | None
    limit_ci: tuple[float | None, float | None] | None
    best_speedup: float
    limit_consistent: bool
    aicc: float | None
    rss: float
    df: int
    n_records: int
    n_blocks: int | None
    confidence: float
    one_sided: bool
    caution: str | None = None
    reason: str | None = None

    def efficiency(self, n: ArrayLike) -> Floats:
        """Return the fitted ``eta(N)`` for numbers of agents of at least 1."""
        return np.exp(AMDAHL.log_value(inputs.sample("n", n), np.array([self.s])))


@dataclass(frozen=True)
class LawFit:
    """A law fitted on the log scale, before it is dressed as a result."""

    law: Law
    records: ScalingRecords
    problem: Problem
    theta: Floats
    rss: float
    df: int
    covariance: Floats | None
    reason: str | None


def fit_amdahl(
    n: ArrayLike,
    x: ArrayLike,
    block: Iterable[Any] | None = None,
    confidence: float = 0.95,
) -> AmdahlFit:
    """Fit Amdahl's law to throughput per agent.

    Parameters
    ----------
    n : number of agents of each record, at least 1, at least two different ones.
    x : throughput per agent of each record, above 0, any unit; one record is one block's value
        at one N. Never divide it by a measured baseline.
    block : the block of each record. Each block then has an ``x_1`` of its own, so that what
        blocks share cancels; repeats of one N inside one block are averaged first. Without it
        the records count as independent.
    confidence : coverage of the intervals.

    Returns
    -------
    AmdahlFit
        From ``log x_N = log x_1 - log(1 + s(N-1)) + error`` with x_1 free and ``s >= 0``.
        Intervals are None with fewer than 3 declared blocks, without residual degrees of
        freedom, or when the records lie exactly on the curve. At ``s = 0`` only the one-sided
        profile interval exists, and no limit.

    Raises
    ------
    ValueError
        Bad, unequal or non-positive input; fewer than 2 different N.

    Notes
    -----
    Amdahl (1967), AFIPS 30, 483-485; profile interval: Bates and Watts (1988), sec. 6.1, near
    the bound of 0 with the threshold of Feldman and Cousins (1998), sec. IV.B;
    lack of fit: Draper and Smith (1998), sec. 2.1; AICc: Hurvich and Tsai (1989), eq. 4.
    """
    inputs.fraction("confidence", confidence)
    fit = fit_law(AMDAHL, scaling_records(n, x, block))
    records, s = fit.records, float(fit.theta[0])
    intercepts = records.intercepts(AMDAHL.log_value(records.n, fit.theta))
    x1 = exp(float(intercepts.mean()))
    se, delta, profile = _intervals(fit, confidence)
    best = best_speedup(records, x1)
    limit = 1 / s if s > 0 else None
    return AmdahlFit(
        s=s,
        x1=x1,
        se_s=se,
        ci_delta=delta,
        ci_profile=profile,
        ci_x1=x1_interval(fit, confidence),
        r2=r_squared(fit),
        lack_of_fit=lack_of_fit(fit),
        limit=limit,
        limit_ci=None if profile is None else (_inverse(profile[1]), _inverse(profile[0])),
        best_speedup=best,
        limit_consistent=limit is None or limit >= best,
        aicc=aicc(fit),
        rss=fit.rss,
        df=fit.df,
        n_records=records.size,
        n_blocks=records.blocks if records.declared_blocks else None,
        confidence=confidence,
        one_sided=s == 0,
        caution=_caution(s, limit, best, records.aggregated),
        reason=fit.reason or (AT_ZERO if s == 0 else None),
    )


def fit_law(law: Law, records: ScalingRecords) -> LawFit:
    """Fit one law on the log scale with one free intercept per block."""

    def residuals(theta: Floats) -> Floats:
        return (records.target - law.log_value(records.levels, theta)) @ records.factor.T

    problem = Problem(residuals, records.rss_within)
    theta, rss = minimise(problem, len(law.parameters))
    df = records.size - records.blocks - theta.size
    reason = _why_no_interval(records, rss, df)
    spread = None
    if reason is None:
        gradient = records.factor @ law.gradient(records.levels, theta)
        spread = covariance(gradient, theta > 0, rss / df)
    return LawFit(law, records, problem, theta, rss, df, spread, reason)


def lack_of_fit(fit: LawFit) -> LackOfFit:
    """Test the law against the saturated model (one mean per N) on the same intercepts."""
    records = fit.records
    extra = fit.df - records.df_within
    if records.df_within < 1:
        return LackOfFit(None, None, None, "no N is repeated: no pure error to test against")
    if extra < 1:
        return LackOfFit(None, None, None, "as many parameters as levels of N: nothing to test")
    if records.exact(records.rss_within):
        return LackOfFit(None, None, None, "repeats agree exactly: no pure error to test against")
    value = max(fit.rss - records.rss_within, 0.0) / extra
    value /= records.rss_within / records.df_within
    p = float(stats.f.sf(value, extra, records.df_within))
    return LackOfFit(value, (extra, records.df_within), p)


def aicc(fit: LawFit) -> float | None:
    """Return the AICc of the records in their own unit; k counts intercepts and sigma."""
    records = fit.records
    k = fit.theta.size + records.blocks + 1
    if records.size - k - 1 <= 0 or records.exact(fit.rss):
        return None
    jacobian = 2 * float(records.log_x.sum())
    deviance = records.size * (log(2 * pi * fit.rss / records.size) + 1) + jacobian
    return deviance + 2 * k + 2 * k * (k + 1) / (records.size - k - 1)


def r_squared(fit: LawFit) -> float | None:
    """Return the share of the within-block variation of log throughput that the law explains."""
    total = fit.records.total_squares
    return None if fit.records.exact(total) else 1 - fit.rss / total


def x1_interval(fit: LawFit, confidence: float) -> Interval | None:
    """Return the interval of x_1: over block intercepts, or by the regression without blocks."""
    records = fit.records
    if fit.covariance is None:
        return None
    values = records.intercepts(fit.law.log_value(records.n, fit.theta))
    slope = fit.law.gradient(records.n, fit.theta).mean(axis=0)
    variance, df = fit.rss / fit.df / records.size, fit.df
    if records.declared_blocks:
        variance, df = float(values.var(ddof=1)) / records.blocks, records.blocks - 1
    variance += float(slope @ fit.covariance @ slope)
    low, high = t_interval(float(values.mean()), sqrt(variance), df, confidence)
    return interval(exp(low), exp(high))


def best_speedup(records: ScalingRecords, x1: float) -> float:
    """Return the largest measured total throughput over x_1, from geometric means per N."""
    level_of = np.searchsorted(records.levels, records.n)
    means = np.bincount(level_of, records.log_x) / np.bincount(level_of)
    return float((records.levels * np.exp(means)).max() / x1)


def law_profile(fit: LawFit, index: int, confidence: float) -> tuple[float, float | None]:
    """Return the profile interval of one parameter of a law with residual degrees of freedom."""
    free = fit.theta > 0
    free[index] = True
    gradient = fit.records.factor @ fit.law.gradient(fit.records.levels, fit.theta)
    spread = covariance(gradient, free, fit.rss / fit.df)
    se = None if spread is None else sqrt(float(spread[index, index]))
    return profile_interval(fit.problem, fit.theta, fit.rss, index, se, fit.df, confidence)


def _intervals(
    fit: LawFit, confidence: float
) -> tuple[float | None, Interval | None, tuple[float, float | None] | None]:
    if fit.reason is not None:
        return None, None, None
    profile = law_profile(fit, 0, confidence)
    if fit.covariance is None or fit.theta[0] == 0:
        return None, None, profile
    se = sqrt(float(fit.covariance[0, 0]))
    low, high = t_interval(float(fit.theta[0]), se, fit.df, confidence)
    return se, interval(low, high), profile


def _why_no_interval(records: ScalingRecords, rss: float, df: int) -> str | None:
    if records.declared_blocks and records.blocks < MIN_BLOCKS:
        return f"{records.blocks} of the {MIN_BLOCKS} blocks that an interval needs"
    if df < 1:
        return "no residual degree of freedom: as many parameters as records"
    return EXACT_FIT if records.exact(rss) else None


def _caution(s: float, limit: float | None, best: float, aggregated: bool) -> str | None:
    parts = []
    if limit is not None and limit < best:
        parts.append(f"fitted limit {limit:.3g} is below the measured speed-up {best:.3g}")
    if s > 1:
        parts.append("s above 1: total throughput falls as agents are added")
    if aggregated:
        parts.append("repeats of one N inside one block were averaged")
    return "; ".join(parts) or None


def _inverse(value: float | None) -> float | None:
    if value is None:
        return 0.0
    return 1 / value if value > 0 else None
