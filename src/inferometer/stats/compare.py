"""Compare SUTs by their block summaries: difference, ratio, several groups, effect size, families.

Each value given to these calls is one block's summary (one replicate), never one request.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.effect import EffectSize, effect_size, refuse_constant
from inferometer.stats.inputs import MIN_BLOCKS, Floats
from inferometer.stats.oneway import Anova, anova
from inferometer.stats.result import Interval, Result, interval

__all__ = [
    "Anova",
    "Difference",
    "EffectSize",
    "Family",
    "Ratio",
    "anova",
    "effect_size",
    "holm",
    "paired",
    "ratio",
    "welch",
]

TOO_FEW = f"fewer than {MIN_BLOCKS} blocks on one side: no interval and no test"


@dataclass(frozen=True, repr=False)
class Difference(Result):
    """Difference of two means, first minus second, in the unit of the data."""

    diff: float
    se: float | None
    t: float | None
    df: float | None
    p: float | None
    ci: Interval | None
    mean_a: float
    mean_b: float
    n_a: int
    n_b: int
    confidence: float
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class Ratio(Result):
    """Ratio of the geometric means of the block values, first over second."""

    ratio: float
    ci: Interval | None
    t: float | None
    df: float | None
    p: float | None
    se_log: float | None
    n_a: int
    n_b: int
    confidence: float
    paired: bool
    mean: str = "geometric"
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class Family(Result):
    """A family of tests after Holm's adjustment, in the order given."""

    p_adjusted: tuple[float, ...]
    reject: tuple[bool, ...]
    alpha: float


def welch(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Difference:
    """Compare two means without assuming equal variances.

    Parameters
    ----------
    a, b : one value per block, any lengths.
    confidence : coverage of `ci`.

    Returns
    -------
    Difference
        ``mean(a) - mean(b)`` in the unit of the data, with Welch's t test. With fewer than
        3 blocks on a side only the difference is given.

    Raises
    ------
    ValueError
        Empty or non-finite input; no variance on either side.

    Notes
    -----
    Satterthwaite degrees of freedom: Welch (1947), Biometrika 34, 28-35.
    """
    first, second = inputs.sample("a", a), inputs.sample("b", b)
    inputs.fraction("confidence", confidence)
    means = float(first.mean()), float(second.mean())
    shared: dict[str, Any] = {
        "mean_a": means[0],
        "mean_b": means[1],
        "n_a": first.size,
        "n_b": second.size,
    }
    diff = means[0] - means[1]
    if min(first.size, second.size) < MIN_BLOCKS:
        return Difference(diff, None, None, None, None, None, **shared, **_undefined(confidence))
    se, df = welch_error(first, second)
    return Difference(diff, se, *_t_test(diff, se, df, confidence), **shared, confidence=confidence)


def paired(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Difference:
    """Compare two means over the same blocks or items (``a[i]`` belongs to ``b[i]``).

    Returns the mean of ``a - b`` with Student's t on the differences; fewer than 3 pairs give
    the difference alone. Raises ValueError for unequal lengths or differences that are all equal.
    Student (1908), Biometrika 6, 1-25.
    """
    first, second, gap = _pairs(a, b)
    inputs.fraction("confidence", confidence)
    means = float(first.mean()), float(second.mean())
    shared: dict[str, Any] = {
        "mean_a": means[0],
        "mean_b": means[1],
        "n_a": gap.size,
        "n_b": gap.size,
    }
    diff = float(gap.mean())
    if gap.size < MIN_BLOCKS:
        return Difference(diff, None, None, None, None, None, **shared, **_undefined(confidence))
    se = paired_error(gap)
    test = _t_test(diff, se, gap.size - 1, confidence)
    return Difference(diff, se, *test, **shared, confidence=confidence)


def ratio(a: ArrayLike, b: ArrayLike, confidence: float = 0.95, paired: bool = False) -> Ratio:
    """Give the ratio of two SUTs' block values with its interval.

    Parameters
    ----------
    a, b : one value above 0 per block.
    confidence : coverage of `ci`.
    paired : the blocks were run in pairs, ``a[i]`` beside ``b[i]``.

    Returns
    -------
    Ratio
        ``exp(mean(log a) - mean(log b))``: a ratio of geometric means. For block values with a
        CV of 10 % it differs from the ratio of arithmetic means by about 0.5 % at most.
        `ci` and `p` are Welch's (or, paired, Student's) on the logarithms; with fewer than
        3 blocks on a side they are None.

    Raises
    ------
    ValueError
        A value of 0 or below; no variance; unequal lengths when paired.

    Notes
    -----
    Welch (1947) on the log scale; the log-ratio argument is that of Fleming and Wallace (1986),
    Commun. ACM 29, 218-221.
    """
    first, second = inputs.positive_sample("a", a), inputs.positive_sample("b", b)
    test = _PAIRING[paired](np.log(first), np.log(second), confidence)
    return Ratio(
        ratio=exp(test.diff),
        ci=None if test.ci is None else interval(exp(test.ci[0]), exp(test.ci[1])),
        t=test.t,
        df=test.df,
        p=test.p,
        se_log=test.se,
        n_a=first.size,
        n_b=second.size,
        confidence=confidence,
        paired=paired,
        reason=test.reason,
    )


def holm(p: ArrayLike, alpha: float = 0.05) -> Family:
    """Adjust the p-values of one family so that its error rate stays at `alpha`.

    Parameters
    ----------
    p : the family's p-values, each in [0, 1].

    Returns
    -------
    Family
        Adjusted p-values and rejections in the order given.

    Raises
    ------
    ValueError
        An empty family, or a value outside [0, 1].

    Notes
    -----
    Holm (1979), Scand. J. Stat. 6, 65-70. A TOST belongs to a family of its own.
    """
    values = inputs.sample("p", p)
    inputs.fraction("alpha", alpha)
    if ((values < 0) | (values > 1)).any():
        raise ValueError("p: every value must lie in [0, 1]")
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return Family(tuple(adjusted.tolist()), tuple((adjusted <= alpha).tolist()), alpha)


def welch_error(first: Floats, second: Floats) -> tuple[float, float]:
    """Return the standard error of a difference of means and its Satterthwaite df."""
    refuse_constant(first, second)
    shares = first.var(ddof=1) / first.size, second.var(ddof=1) / second.size
    variance = float(shares[0] + shares[1])
    relative = shares[0] / variance, shares[1] / variance
    df = 1 / (relative[0] ** 2 / (first.size - 1) + relative[1] ** 2 / (second.size - 1))
    return sqrt(variance), float(df)


def paired_error(gap: Floats) -> float:
    """Return the standard error of a mean difference over pairs."""
    if inputs.constant(gap):
        raise ValueError("a, b: all paired differences are equal, so no error can be estimated")
    return float(gap.std(ddof=1)) / sqrt(gap.size)


_PAIRING = {False: welch, True: paired}


def _pairs(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats, Floats]:
    first, second = inputs.sample("a", a), inputs.sample("b", b)
    inputs.same_length(a=first, b=second)
    return first, second, first - second


def _sides(first: Floats, second: Floats) -> dict[str, Any]:
    means = {"mean_a": float(first.mean()), "mean_b": float(second.mean())}
    return means | {"n_a": first.size, "n_b": second.size}


def _undefined(confidence: float) -> dict[str, Any]:
    return {"confidence": confidence, "reason": TOO_FEW}


def _t_test(
    diff: float, se: float, df: float, confidence: float
) -> tuple[float, float, float, Interval]:
    t = diff / se
    half = float(stats.t.ppf((1 + confidence) / 2, df)) * se
    return t, float(df), float(2 * stats.t.sf(abs(t), df)), interval(diff - half, diff + half)
