"""Success rates: one SUT, two SUTs on the same items, items that come in clusters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.inputs import MIN_BLOCKS
from inferometer.stats.result import Interval, Result, interval

NO_DISCORD = "no item separates the two SUTs, so there is nothing to test"


@dataclass(frozen=True, repr=False)
class Proportion(Result):
    """Success rate with Wilson's score interval."""

    estimate: float
    low: float
    high: float
    k: int
    n: int
    confidence: float


@dataclass(frozen=True, repr=False)
class PairedProportions(Result):
    """Two SUTs on the same items: tests of equal rates and the difference, first minus second."""

    diff: float
    ci_newcombe10: Interval
    p_exact: float | None
    p_midp: float | None
    chi2: float | None
    p_chi2: float | None
    chi2_cc: float | None
    p_chi2_cc: float | None
    discordant: tuple[int, int]
    n: int
    confidence: float
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class ClusteredMean(Result):
    """Mean over items whose errors are shared inside clusters (subjects, passages)."""

    estimate: float
    se: float | None
    ci: Interval | None
    df: int | None
    naive_se: float | None
    n: int
    clusters: int
    confidence: float
    reason: str | None = None


def wilson(k: int, n: int, confidence: float = 0.95) -> Proportion:
    """Give a success rate with Wilson's interval.

    Parameters
    ----------
    k, n : successes and trials, ``0 <= k <= n``, ``n >= 1``.

    Returns
    -------
    Proportion
        `low` and `high` lie in [0, 1]; at k = 0 (k = n) the lower (upper) end is exactly 0 (1).

    Raises
    ------
    ValueError
        Counts that are not whole, negative, or k above n; a confidence outside (0, 1).

    Notes
    -----
    Wilson (1927), J. Am. Stat. Assoc. 22, 209-212; no continuity correction.
    """
    count, trials = inputs.successes("k", k, "n", n)
    inputs.fraction("confidence", confidence)
    ends = stats.binomtest(count, trials).proportion_ci(confidence, method="wilson")
    low = 0.0 if count == 0 else float(ends.low)
    high = 1.0 if count == trials else float(ends.high)
    return Proportion(count / trials, low, high, count, trials, confidence)


def mcnemar(table: ArrayLike, confidence: float = 0.95) -> PairedProportions:
    """Compare two SUTs' success rates on the same items.

    Parameters
    ----------
    table : 2 x 2 counts of items; rows are the first SUT (right, wrong), columns the second.

    Returns
    -------
    PairedProportions
        `p_exact` is the conditional binomial test, `p_midp` its mid-p form, `chi2` the score
        test without and `chi2_cc` with Edwards' continuity correction. All four are None when
        no item separates the SUTs; the interval of the difference exists all the same.

    Raises
    ------
    ValueError
        A table that is not 2 x 2 whole counts with a positive total.

    Notes
    -----
    McNemar (1947), Psychometrika 12, 153-157; mid-p: Fagerland, Lydersen and Laake (2013), BMC
    Med. Res. Methodol. 13:91, eq. 3; interval: Newcombe (1998), Stat. Med. 17, 2635-2650,
    method 10.
    """
    counts = inputs.paired_table("table", table)
    inputs.fraction("confidence", confidence)
    only_first, only_second = int(counts[0, 1]), int(counts[1, 0])
    total, apart = int(counts.sum()), only_first + only_second
    tests: dict[str, Any] = dict.fromkeys(
        ("p_exact", "p_midp", "chi2", "p_chi2", "chi2_cc", "p_chi2_cc")
    )
    if apart:
        tests = _mcnemar_tests(only_first, only_second)
    return PairedProportions(
        diff=(only_first - only_second) / total,
        ci_newcombe10=_newcombe10(counts, confidence),
        **tests,
        discordant=(only_first, only_second),
        n=total,
        confidence=confidence,
        reason=None if apart else NO_DISCORD,
    )


def clustered_mean(
    values: ArrayLike, cluster: Iterable[Any], confidence: float = 0.95
) -> ClusteredMean:
    """Give the mean of item scores with an error that allows for clusters of items.

    Parameters
    ----------
    values : one score per item (0/1 or a number).
    cluster : the cluster of each item, same length.

    Returns
    -------
    ClusteredMean
        Cluster-robust error (Liang and Zeger) with the g/(g-1) correction and t on clusters - 1;
        `se` and `ci` are None with fewer than 3 clusters or no spread between them.

    Raises
    ------
    ValueError
        Empty or non-finite values; unequal lengths.

    Notes
    -----
    Liang and Zeger (1986), Biometrika 73, 13-22; t reference: Cameron and Miller (2015), sec. VI.
    """
    scores = inputs.sample("values", values)
    inputs.fraction("confidence", confidence)
    labels = list(cluster)
    inputs.same_length(values=scores, cluster=labels)
    names = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    codes = np.array([names[label] for label in labels])
    n, count, mean = scores.size, len(names), float(scores.mean())
    naive = float(scores.std(ddof=1)) / sqrt(n) if n > 1 else None
    sums = np.bincount(codes, weights=scores - mean, minlength=count)
    shared: dict[str, Any] = {"naive_se": naive, "n": n, "clusters": count}
    se = sqrt(float((sums**2).sum()) * count / max(count - 1, 1)) / n
    if count < MIN_BLOCKS or se == 0:
        reason = (
            f"{count} of the {MIN_BLOCKS} clusters that an interval needs"
            if count < MIN_BLOCKS
            else "no spread between clusters"
        )
        return ClusteredMean(mean, None, None, None, **shared, confidence=confidence, reason=reason)
    half = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * se
    ci = interval(mean - half, mean + half)
    return ClusteredMean(mean, se, ci, count - 1, **shared, confidence=confidence)


def _mcnemar_tests(only_first: int, only_second: int) -> dict[str, float]:
    apart, fewer = only_first + only_second, min(only_first, only_second)
    exact = float(stats.binomtest(fewer, apart, 0.5).pvalue)
    point = float(stats.binom.pmf(fewer, apart, 0.5))
    midp = 1 - point / 2 if only_first == only_second else exact - point
    gap = abs(only_first - only_second)
    chi2, corrected = gap**2 / apart, max(gap - 1, 0) ** 2 / apart
    return {
        "p_exact": exact,
        "p_midp": midp,
        "chi2": chi2,
        "p_chi2": float(stats.chi2.sf(chi2, 1)),
        "chi2_cc": corrected,
        "p_chi2_cc": float(stats.chi2.sf(corrected, 1)),
    }


def _newcombe10(counts: np.ndarray, confidence: float) -> Interval:
    """Square-and-add from two Wilson intervals, with the continuity-corrected correlation."""
    both, first, second, neither = (int(value) for value in counts.ravel())
    total = both + first + second + neither
    one, two = (wilson(k, total, confidence) for k in (both + first, both + second))
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    excess = float(both * neither - first * second)
    if excess > 0:
        excess = max(excess - total / 2, 0.0)
    phi = excess / sqrt(product) if product else 0.0
    diff = one.estimate - two.estimate

    def reach(left: float, right: float) -> float:
        return sqrt(max(left**2 - 2 * phi * left * right + right**2, 0.0))

    low = diff - reach(one.estimate - one.low, two.high - two.estimate)
    high = diff + reach(one.high - one.estimate, two.estimate - two.low)
    return interval(max(low, -1.0), min(high, 1.0))
