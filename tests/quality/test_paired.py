"""Paired comparisons on simulated item scores, against tables and libraries."""

import numpy as np
import pytest
import statsmodels.api as sm

from inferometer.quality.agreement import Answer, agreement
from inferometer.quality.paired import ItemScore, compare_accuracy, compare_scores
from inferometer.stats.inputs import MIN_BLOCKS


def scored(values, clusters=None, start=0):
    names = clusters or [None] * len(values)
    return [
        ItemScore(f"i{start + k}", float(v), cluster=c)
        for k, (v, c) in enumerate(zip(values, names, strict=True))
    ]


def from_table(both, only_a, only_b, neither):
    a = [1] * (both + only_a) + [0] * (only_b + neither)
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    return scored(a), scored(b)


def test_accuracy_reproduces_agrestis_table():
    found = compare_accuracy(*from_table(794, 150, 86, 570), margin_pp=6)
    assert found.table == ((794, 150), (86, 570))
    assert found.difference_pp == pytest.approx(4.0)
    assert found.tests.p_exact == pytest.approx(3.715936e-5, rel=1e-6)
    assert found.tests.p_midp < found.tests.p_exact
    assert found.method == "Newcombe-10"
    low, high = found.ci_pp
    assert 2 < low < 4 < high < 6
    assert found.equivalence.equivalent
    assert not compare_accuracy(*from_table(794, 150, 86, 570), margin_pp=4).equivalence.equivalent


def test_invalid_and_empty_are_wrong_and_told_apart_and_missing_is_left_out():
    a = [
        ItemScore("1", 1.0),
        ItemScore("2", None, "invalid"),
        ItemScore("3", None, "empty"),
        ItemScore("4", None, "not testable here"),
        ItemScore("5", 1.0),
    ]
    b = [ItemScore(str(k), 1.0) for k in (1, 2, 3, 4)] + [ItemScore("6", 1.0)]
    found = compare_accuracy(a, b, margin_pp=5)
    assert found.table == ((1, 0), (2, 0))
    assert (found.a.invalid, found.a.empty) == (1, 1)
    assert found.a.missing == ("4", "6")
    assert found.b.missing == ("5",)
    assert found.n == 3


def test_a_relabelled_copy_is_equivalent_and_a_damaged_one_is_not():
    rng = np.random.default_rng(8)
    base = (rng.random(400) < 0.6).astype(float)
    copy = compare_accuracy(scored(base), scored(base), margin_pp=3)
    assert copy.difference_pp == 0
    assert copy.equivalence.equivalent
    assert copy.ci_pp[0] < 0 < copy.ci_pp[1]
    damaged = base.copy()
    damaged[np.flatnonzero(base)[:40]] = 0  # 10 points lost
    lost = compare_accuracy(scored(damaged), scored(base), margin_pp=3)
    assert lost.difference_pp == pytest.approx(-10)
    assert lost.ci_pp[1] < -3
    assert not lost.equivalence.equivalent


def test_clusters_get_the_error_of_statsmodels_and_their_own_tost():
    rng = np.random.default_rng(1)
    subjects = [f"s{k // 20}" for k in range(400)]
    skill = np.repeat(rng.normal(0.6, 0.2, 20), 20)
    a = (rng.random(400) < skill).astype(float)
    b = (rng.random(400) < 0.6).astype(float)
    found = compare_accuracy(scored(a, subjects), scored(b, subjects), margin_pp=30)
    groups = np.repeat(np.arange(20), 20)
    fit = sm.OLS(a - b, np.ones(400)).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    assert found.method == "t over clusters"
    # statsmodels' small-sample factor has (n - 1)/(n - k) too, which is 1 here
    assert found.ci_pp == pytest.approx(100 * fit.conf_int()[0], rel=1e-9)
    assert found.p_clustered == pytest.approx(float(fit.pvalues[0]), rel=1e-9)
    assert found.equivalence.df == 19
    assert found.equivalence.ci90 == pytest.approx(fit.conf_int(0.10)[0], rel=1e-9)
    scores = compare_scores(scored(a, subjects), scored(b, subjects), -0.3, 0.3)
    assert scores.ci == pytest.approx(fit.conf_int()[0], rel=1e-9)


def test_too_few_clusters_fall_back_and_say_so():
    a, b = np.tile([1, 0, 1, 1], 10), np.tile([1, 1, 0, 1], 10)
    two = ["x"] * 20 + ["y"] * 20
    found = compare_accuracy(scored(a, two), scored(b, two), margin_pp=5)
    assert found.method == "Newcombe-10"
    assert f"2 of the {MIN_BLOCKS} clusters" in found.caution


def test_continuous_scores_get_bca_or_t():
    rng = np.random.default_rng(3)
    base = rng.normal(0.5, 0.1, 60)
    lower = base - 0.02 + rng.normal(0, 0.02, 60)
    many = compare_scores(scored(lower), scored(base), -0.05, 0.05)
    assert many.method == "BCa"
    assert many.ci[0] < many.difference < many.ci[1] < 0
    assert many.equivalence.equivalent
    few = compare_scores(scored(lower[:10]), scored(base[:10]), -0.05, 0.05)
    assert few.method == "t"
    assert few.ci == pytest.approx(
        sm.stats.DescrStatsW(lower[:10] - base[:10]).tconfint_mean(), rel=1e-9
    )


@pytest.mark.parametrize("n", [5, 60])
def test_equal_differences_are_undefined_not_zero_wide(n):
    values = np.linspace(0, 1, n)
    copy = compare_scores(scored(values), scored(values), -0.1, 0.1)
    assert copy.identical
    assert (copy.ci, copy.equivalence) == (None, None)
    assert "no spread" in copy.reason


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (scored([1, 0]) + scored([1]), scored([1, 0]), "scored twice"),
        (scored([1, 0]), scored([1, 0], start=5), "no item has a score on both sides"),
        (scored([1, 0.5]), scored([1, 0]), "only 0 and 1"),
        (scored([1, 0], ["x", "y"]), scored([1, 0], ["x", "z"]), "two clusters"),
        (scored([1, 0], ["x", None]), scored([1, 0]), "has no cluster"),
    ],
)
def test_bad_input_is_named(a, b, message):
    with pytest.raises(ValueError, match=message):
        compare_accuracy(a, b, margin_pp=5)


def test_agreement_is_cohens_on_a_textbook_table():
    # Wikipedia's example: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no; kappa .4
    a = ["yes"] * 25 + ["no"] * 25
    b = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    one, two = ([Answer(str(k), text) for k, text in enumerate(side)] for side in (a, b))
    found = agreement(one, two, labels=["yes", "no"])
    assert found.same.estimate == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)
    assert found.kappa_ci[0] < 0.4 < found.kappa_ci[1]
    assert len(found.differing) == 15


def test_two_invalid_answers_are_no_agreement():
    a = [Answer("1", "A"), Answer("2", None, "invalid"), Answer("3", None, "empty")]
    b = [Answer("1", "A"), Answer("2", None, "invalid"), Answer("4", "B")]
    found = agreement(a, b, labels=["A", "B"])
    assert (found.same.k, found.same.n, found.both_valid) == (1, 2, 1)
    assert (found.missing_a, found.missing_b) == (("4",), ("3",))
    assert found.kappa == 1
    assert found.kappa_ci is None


def test_kappa_is_undefined_where_it_has_no_meaning():
    same = [Answer(str(k), "A") for k in range(9)]
    assert agreement(same, same, labels=["A", "B"]).kappa is None
    assert "free text" in agreement(same, same).reason
    with pytest.raises(ValueError, match="'A' is none of X, Y"):
        agreement(same, same, labels=["X", "Y"])
