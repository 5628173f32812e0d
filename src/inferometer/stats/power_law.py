"""Power laws ``y = a x^b``, with errors that grow with y or that do not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.amdahl import EXACT_FIT, LackOfFit
from inferometer.stats.inputs import MIN_BLOCKS, Floats
from inferometer.stats.least_squares import CurveFit, fit_curve
from inferometer.stats.result import Interval, Result, interval
from inferometer.stats.scaling_laws import t_interval
from inferometer.stats.scaling_records import EXACT, MOST_LEVELS, scaling_records


@dataclass(frozen=True, repr=False)
class PowerLaw(Result):
    """One estimate of ``y = a x^b``; `r2` and `rss` are on the scale of the fit.

    `aicc` is that of y in its own unit, so that the two error models can be compared.
    """

    a: float
    b: float
    se_b: float | None
    ci_a: Interval | None
    ci_b: Interval | None
    r2: float | None
    rss: float
    df: int
    aicc: float | None
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class PowerLawFit(Result):
    """A power law under multiplicative (`loglog`) and under additive errors (`additive`)."""

    loglog: PowerLaw
    additive: PowerLaw
    lack_of_fit: LackOfFit
    n_records: int
    n_blocks: int | None
    confidence: float


def fit_power_law(
    x: ArrayLike,
    y: ArrayLike,
    block: Iterable[Any] | None = None,
    confidence: float = 0.95,
) -> PowerLawFit:
    """Fit ``y = a x^b`` by log-log regression and by least squares on y.

    Parameters
    ----------
    x, y : records, each above 0, equal lengths, at least two different x.
    block : the block of each record; the log-log fit then gives each block its own a.

    Returns
    -------
    PowerLawFit
        `loglog.a` is a geometric mean. Intervals are None without residual degrees of freedom,
        on an exact fit, and (log-log) with fewer than 3 declared blocks. `lack_of_fit` tests the
        log-log line against one mean per x.

    Raises
    ------
    ValueError
        Bad, unequal or non-positive input; fewer than 2 different x.

    Notes
    -----
    Ordinary least squares on logarithms; Levenberg-Marquardt (More 1978) on y. AICc: Hurvich and
    Tsai (1989), eq. 4, with the Jacobian of the logarithm.
    """
    at, values = inputs.positive_sample("x", x, 2), inputs.positive_sample("y", y, 2)
    inputs.same_length(x=at, y=values)
    inputs.fraction("confidence", confidence)
    if np.unique(at).size < 2:
        raise ValueError("x: needs at least 2 different values")
    codes, blocks = _codes(block, at.size)
    loglog = _loglog(at, values, codes, blocks, block is not None, confidence)
    curve = fit_curve(lambda v, a, b: a * v**b, at, values, _starts(at, values, loglog), confidence)
    return PowerLawFit(
        loglog=loglog,
        additive=_additive(curve, values),
        lack_of_fit=_lack_of_fit(at, values, block, loglog),
        n_records=at.size,
        n_blocks=None if block is None else blocks,
        confidence=confidence,
    )


def _codes(block: Iterable[Any] | None, size: int) -> tuple[Any, int]:
    if block is None:
        return np.zeros(size, dtype=np.intp), 1
    labels = list(block)
    inputs.same_length(x=range(size), block=labels)
    names = {label: code for code, label in enumerate(dict.fromkeys(labels))}
    return np.array([names[label] for label in labels], dtype=np.intp), len(names)


def _loglog(
    x: Floats, y: Floats, codes: Any, blocks: int, declared: bool, confidence: float
) -> PowerLaw:
    counts = np.bincount(codes, minlength=blocks)

    def means(values: Floats) -> Floats:
        return np.bincount(codes, values, blocks) / counts

    u, v = np.log(x), np.log(y)
    du, dv = u - means(u)[codes], v - means(v)[codes]
    spread = float(du @ du)
    if spread == 0:
        raise ValueError("x: needs at least 2 different values inside one block")
    b = float(du @ dv) / spread
    rss, total = float(((dv - b * du) ** 2).sum()), float(dv @ dv)
    df = x.size - blocks - 1
    intercepts = means(v) - b * means(u)
    a = float(intercepts.mean())
    flat = total <= x.size * EXACT**2
    shared: dict[str, Any] = {
        "r2": None if flat else 1 - rss / total,
        "rss": rss,
        "df": df,
        "aicc": _aicc(rss, x.size, blocks + 2, 2 * float(v.sum())),
    }
    reason = _why_nothing(df, rss <= x.size * EXACT**2, blocks if declared else None)
    if reason is not None:
        return PowerLaw(exp(a), b, None, None, None, **shared, reason=reason)
    variance = rss / df
    se_b = sqrt(variance / spread)
    level, df_a = variance / x.size, float(df)
    if declared:
        level, df_a = float(intercepts.var(ddof=1)) / blocks, blocks - 1
    low, high = t_interval(a, sqrt(level + float(means(u).mean()) ** 2 * se_b**2), df_a, confidence)
    ci_b = interval(*t_interval(b, se_b, df, confidence))
    return PowerLaw(exp(a), b, se_b, interval(exp(low), exp(high)), ci_b, **shared)


def _starts(x: Floats, y: Floats, loglog: PowerLaw) -> list[tuple[float, float]]:
    top = int(np.argmax(x))
    return [
        (loglog.a, loglog.b),
        *[(float(y[top] / x[top] ** b), b) for b in (0.5 * loglog.b, 1.5 * loglog.b)],
    ]


def _additive(curve: CurveFit, y: Floats) -> PowerLaw:
    total = float(((y - y.mean()) ** 2).sum())
    ends = curve.ci or (None, None)
    return PowerLaw(
        a=curve.parameters[0],
        b=curve.parameters[1],
        se_b=None if curve.se is None else curve.se[1],
        ci_a=ends[0],
        ci_b=ends[1],
        r2=1 - curve.rss / total if total else None,
        rss=curve.rss,
        df=curve.df,
        aicc=_aicc(curve.rss, y.size, 3, 0.0) if curve.ci is not None else None,
        reason=curve.reason,
    )


def _aicc(rss: float, size: int, k: int, jacobian: float) -> float | None:
    if size - k - 1 <= 0 or rss <= 0:
        return None
    deviance = size * (log(2 * pi * rss / size) + 1) + jacobian
    return deviance + 2 * k + 2 * k * (k + 1) / (size - k - 1)


def _why_nothing(df: int, exact: bool, blocks: int | None) -> str | None:
    if blocks is not None and blocks < MIN_BLOCKS:
        return f"{blocks} of the {MIN_BLOCKS} blocks that an interval needs"
    if df < 1:
        return "no residual degree of freedom: as many parameters as records"
    return EXACT_FIT if exact else None


def _lack_of_fit(x: Floats, y: Floats, block: Iterable[Any] | None, line: PowerLaw) -> LackOfFit:
    if np.unique(x).size > MOST_LEVELS:
        return LackOfFit(None, None, None, f"more than {MOST_LEVELS} different x")
    records = scaling_records(x / x.min(), y, block)
    if records.aggregated or records.df_within < 1:
        return LackOfFit(None, None, None, "no pure error: repeat each x once per block")
    extra = line.df - records.df_within
    if extra < 1 or records.exact(records.rss_within):
        return LackOfFit(None, None, None, "nothing to test: no spare level or no pure error")
    value = max(line.rss - records.rss_within, 0.0) / extra
    value /= records.rss_within / records.df_within
    p = float(stats.f.sf(value, extra, records.df_within))
    return LackOfFit(value, (extra, records.df_within), p)
