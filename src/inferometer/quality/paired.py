"""Two SUTs on the same items, item by item: 0/1 metrics and continuous ones.

Differences are first minus second (a level minus its baseline). Invalid and empty answers of a
0/1 metric are wrong, and counted; an item without a score on one side is listed and left out of
both. Items that share a subject may carry it as `cluster`; the error then allows for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from inferometer.quality.pairs import ItemScore, Pairs, Side
from inferometer.stats import equivalence, inputs, intervals, proportions
from inferometer.stats.inputs import Floats
from inferometer.stats.proportions import ClusteredMean, PairedProportions
from inferometer.stats.result import Interval, Result, interval
from inferometer.stats.tost_result import ALPHA, Equivalence

__all__ = [
    "ItemScore",
    "PairedAccuracy",
    "PairedScores",
    "Side",
    "compare_accuracy",
    "compare_scores",
]

ALL_EQUAL = "every item's difference is the same: there is no spread to estimate an error from"
Method = Literal["Newcombe-10", "t over clusters", "BCa", "t"]


@dataclass(frozen=True, repr=False)
class PairedAccuracy(Result):
    """A 0/1 metric of two SUTs on the same items; differences in percentage points (pp).

    `table` has the first SUT (right, wrong) in rows and the second in columns. `ci_pp` is the
    headline: by t over clusters where items have them, else Newcombe's method 10, as `method`
    says. McNemar's p-values in `tests` take items as independent; `clustered` does not.
    """

    difference_pp: float
    ci_pp: Interval
    method: Method
    equivalence: Equivalence
    tests: PairedProportions
    clustered: ClusteredMean | None
    p_clustered: float | None
    table: tuple[tuple[int, int], tuple[int, int]]
    a: Side
    b: Side
    n: int
    caution: str | None = None


@dataclass(frozen=True, repr=False)
class PairedScores(Result):
    """A continuous metric of two SUTs on the same items, in the unit of the metric.

    `identical` says that every item has the same score on both sides: then neither interval nor
    test exists, and `reason` says so.
    """

    difference: float
    ci: Interval | None
    method: Method
    equivalence: Equivalence | None
    identical: bool
    a: Side
    b: Side
    n: int
    caution: str | None = None
    reason: str | None = None


def compare_accuracy(
    a: Sequence[ItemScore],
    b: Sequence[ItemScore],
    margin_pp: float,
    confidence: float = 0.95,
) -> PairedAccuracy:
    """Compare a 0/1 metric of two SUTs on the same items.

    Parameters
    ----------
    a, b : scores of 0 or 1, at most one for each item; `invalid` and `empty` are wrong whatever
        their value, another status without a value is missing.
    margin_pp : half-width of the margin of equivalence, declared in the design, in (0, 100).

    Returns
    -------
    PairedAccuracy
        With fewer than 3 clusters, or no spread between them, the interval is Newcombe's and
        `caution` says that it ignores clusters.

    Raises
    ------
    ValueError
        A value other than 0 and 1; an item twice; no item in common; two clusters for one item.

    Notes
    -----
    McNemar (1947), Newcombe (1998) method 10, Tango (1998), Liang and Zeger (1986): see
    `inferometer.stats.proportions` and `inferometer.stats.tost_proportions`.
    """
    pairs = Pairs.of(a, b, binary=True)
    first, second = pairs.a.astype(bool), pairs.b.astype(bool)
    table = (
        (int((first & second).sum()), int((first & ~second).sum())),
        (int((~first & second).sum()), int((~first & ~second).sum())),
    )
    inputs.fraction("margin_pp / 100", margin_pp / 100)
    tests = proportions.mcnemar(table, confidence)
    over = pairs.over_clusters(confidence)
    same = equivalence.tost_paired_proportions(table, margin_pp / 100)
    ci, p_clustered = tests.ci_newcombe10, None
    method: Method = "Newcombe-10"
    if over is not None and over.ci is not None:
        ci, method = over.ci, "t over clusters"
        same = _tost_clustered(over, -margin_pp / 100, margin_pp / 100)
        p_clustered = _two_sided(over)
    ignored = over is not None and over.ci is None
    return PairedAccuracy(
        difference_pp=100 * tests.diff,
        ci_pp=interval(100 * ci[0], 100 * ci[1]),
        method=method,
        equivalence=same,
        tests=tests,
        clustered=over,
        p_clustered=p_clustered,
        table=table,
        a=pairs.side(a, pairs.a, pairs.missing_a, confidence),
        b=pairs.side(b, pairs.b, pairs.missing_b, confidence),
        n=len(pairs.items),
        caution=f"clusters are ignored: {over.reason}" if ignored and over else None,
    )


def compare_scores(
    a: Sequence[ItemScore],
    b: Sequence[ItemScore],
    low: float,
    upp: float,
    confidence: float = 0.95,
) -> PairedScores:
    """Compare a continuous metric of two SUTs on the same items.

    Parameters
    ----------
    a, b : one finite value for each item; an item without a value is missing, also when its
        answer was empty. Where an empty answer counts as 0 the scorer has set that value.
    low, upp : the margin of equivalence in the unit of the metric, ``low < 0 < upp``.

    Returns
    -------
    PairedScores
        By t over clusters where items have them (3 or more), else BCa for 30 or more items and
        Student's t below. With equal differences there is no interval and no test.

    Raises
    ------
    ValueError
        A margin that does not enclose 0; an item twice; no item in common; non-finite values.

    Notes
    -----
    Efron (1987) for BCa; Schuirmann (1987) for the paired TOST: see `inferometer.stats`.
    """
    pairs = Pairs.of(a, b, binary=False)
    if not low < 0 < upp:
        raise ValueError("low, upp: low < 0 < upp is needed")
    gap = pairs.a - pairs.b
    ends, method, caution, reason = _interval_of(pairs, gap, confidence)
    over = pairs.over_clusters(confidence)
    same: Equivalence | None = None
    if over is not None and over.ci is not None:
        same = _tost_clustered(over, low, upp)
    elif not inputs.constant(gap):
        same = equivalence.tost_paired(pairs.a, pairs.b, low, upp)
    return PairedScores(
        difference=float(gap.mean()),
        ci=ends,
        method=method,
        equivalence=same,
        identical=bool((gap == 0).all()),
        a=pairs.side(a, pairs.a, pairs.missing_a, None),
        b=pairs.side(b, pairs.b, pairs.missing_b, None),
        n=len(pairs.items),
        caution=caution,
        reason=reason,
    )


def _interval_of(
    pairs: Pairs, gap: Floats, confidence: float
) -> tuple[Interval | None, Method, str | None, str | None]:
    """(interval, method, caution, reason) of the mean difference."""
    over = pairs.over_clusters(confidence)
    if over is not None and over.ci is not None:
        return over.ci, "t over clusters", None, None
    caution = f"clusters are ignored: {over.reason}" if over is not None else None
    if gap.size >= intervals.FEWEST_FOR_BCA:
        found = intervals.bca(gap, confidence)
        reason = ALL_EQUAL if found.reason == intervals.CONSTANT else found.reason
        return found.ci, "BCa", caution, reason
    mean = intervals.mean_of_blocks(gap, confidence)
    if mean.ci is None:
        few = f"fewer than {inputs.MIN_BLOCKS} items in common: no interval and no test"
        return None, "t", caution, few if gap.size < inputs.MIN_BLOCKS else ALL_EQUAL
    return mean.ci, "t", caution, None


def _tost_clustered(over: ClusteredMean, low: float, upp: float) -> Equivalence:
    """Two one-sided t tests with the cluster-robust error; t on clusters - 1."""
    assert over.se is not None
    assert over.df is not None
    p_lower = float(stats.t.sf((over.estimate - low) / over.se, over.df))
    p_upper = float(stats.t.cdf((over.estimate - upp) / over.se, over.df))
    half = float(stats.t.ppf(1 - ALPHA, over.df)) * over.se
    p = max(p_lower, p_upper)
    return Equivalence(
        estimate=over.estimate,
        df=float(over.df),
        p_lower=p_lower,
        p_upper=p_upper,
        p=p,
        ci90=interval(over.estimate - half, over.estimate + half),
        equivalent=p < ALPHA,
        low=low,
        upp=upp,
        supported=abs(over.estimate) + half,
        scale="difference",
    )


def _two_sided(over: ClusteredMean) -> float:
    assert over.se is not None
    assert over.df is not None
    return float(2 * stats.t.sf(np.abs(over.estimate / over.se), over.df))
