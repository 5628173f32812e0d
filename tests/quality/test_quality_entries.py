"""Scores of items become findings: rates, means, composites, differences, texts."""

from math import exp

import numpy as np
import pandas as pd
import pytest

from inferometer.analysis import Ledger
from inferometer.quality import entries
from inferometer.quality.paired import ItemScore
from inferometer.stats import proportions

WHERE = {"kind": "score"}


@pytest.fixture
def ledger() -> Ledger:
    """A ledger over one row, to which every finding of these tests points."""
    return Ledger(pd.DataFrame({"session": ["a/00"], "line": [1], "kind": ["score"]}))


def scored(*values, status: str = "ok") -> list[ItemScore]:
    return [ItemScore(f"t/{at}", value, status) for at, value in enumerate(values)]  # type: ignore[arg-type]


def table(**metrics) -> pd.DataFrame:
    """Rows of one item, a metric each; None has no value."""
    return pd.DataFrame(
        {
            **{"task": "t", "item": "i", "metric": list(metrics)},
            **{"value": list(metrics.values()), "status": "ok", "cluster": None},
        }
    )


def test_scores_keep_status_cluster_and_what_is_missing():
    rows = pd.DataFrame(
        {
            **{"task": ["mmlu", "mmlu"], "item": ["1", "2"], "value": [1.0, None]},
            **{"status": ["ok", "undefined"], "cluster": ["law", None]},
        }
    )
    one, two = entries.scores(rows)
    assert one == ItemScore("mmlu/1", 1.0, "ok", "law")
    assert two == ItemScore("mmlu/2", None, "undefined", None)


def test_invalid_and_empty_answers_of_a_rate_are_wrong(ledger):
    found = [
        *scored(1.0, 1.0, 1.0, 0.0),
        ItemScore("t/said nothing clear", None, "invalid"),
        ItemScore("t/said nothing", None, "empty"),
        ItemScore("t/never came", None, "undefined"),
    ]
    entries.enter_mean(ledger, "rate", "rate", found, WHERE, zero_one=True)
    rate, wilson = ledger.findings["rate"], proportions.wilson(3, 6)
    assert (rate.value, rate.n) == (0.5, 6)
    assert (rate.interval.low, rate.interval.high) == pytest.approx((wilson.low, wilson.high))
    assert rate.notes == "2 invalid or empty; 1 items without a value"


def test_a_mean_of_other_metrics_leaves_out_what_has_no_value(ledger):
    few = [*scored(0.2, 0.4, 0.6), ItemScore("t/lost", None, "empty")]
    entries.enter_mean(ledger, "few", "mean", few, WHERE, zero_one=False)
    many = scored(*np.random.default_rng(0).random(40))
    entries.enter_mean(ledger, "many", "mean", many, WHERE, zero_one=False)
    assert ledger.findings["few"].value == pytest.approx(0.4)
    assert (ledger.findings["few"].n, ledger.findings["few"].notes) == (
        3,
        "1 items without a value",
    )
    assert "t interval" in ledger.findings["few"].estimator
    assert "BCa" in ledger.findings["many"].estimator


def test_equal_values_and_none_have_no_interval(ledger):
    entries.enter_mean(ledger, "same", "mean", scored(0.5, 0.5, 0.5), WHERE, zero_one=False)
    entries.enter_mean(ledger, "none", "mean", scored(None, None), WHERE, zero_one=False)
    entries.enter_mean(ledger, "nothing", "mean", [], WHERE, zero_one=True)
    assert ledger.findings["same"].interval is None
    assert "equal" in ledger.findings["same"].no_interval
    assert ledger.findings["none"].reason == "no item has a value"
    assert ledger.findings["nothing"].reason == "nothing was scored"


def test_the_composite_is_the_mean_of_an_items_metrics_of_quality():
    (one,) = entries.composite(
        table(**{"rouge_l": 0.2, "bertscore_f1:x:l6": 0.6, "length_words": 40, "repetition_4": 0.9})
    )
    assert (one.item, one.value) == ("t/i", pytest.approx(0.4))


def test_the_composite_of_an_empty_answer_is_bad_and_that_of_none_is_missing():
    (empty,) = entries.composite(table(rouge_l=0.0, bleu=0.0, **{"coherence:x": None}))
    (lost,) = entries.composite(table(rouge_l=None, bleu=None))
    assert empty.value == 0
    assert (lost.value, lost.status) == (None, "undefined")


def test_a_difference_of_rates_is_in_points_on_the_items_of_both(ledger):
    a = [*scored(1.0, 1.0, 0.0, 0.0), ItemScore("t/only here", 1.0)]
    b = [*scored(1.0, 0.0, 0.0), ItemScore("t/3", 1.0, "invalid")]
    seen = entries.enter_difference(ledger, "gap", "gap", a, b, WHERE, margin=2.0, zero_one=True)
    gap = ledger.findings["gap"]
    assert (gap.value, gap.unit, gap.n) == (25, "pp", 4)
    assert gap.interval.low < 25 < gap.interval.high
    assert "second: 1 invalid" in gap.notes
    assert "1 items without a value, left out of both" in gap.notes
    assert entries.equivalent(seen, 2.0)[0] is False


def test_pairing_is_by_item_and_not_by_place(ledger):
    a = scored(*np.linspace(0, 1, 40))
    b = [ItemScore(one.item, one.value + 1e-3 * (at % 2)) for at, one in enumerate(a)][::-1]
    seen = entries.enter_difference(ledger, "gap", "gap", a, b, WHERE, margin=0.02, zero_one=False)
    gap = ledger.findings["gap"]
    assert gap.value == pytest.approx(-5e-4)
    assert gap.interval.high - gap.interval.low < 1e-3
    shown, p = entries.equivalent(seen, 0.02)
    assert shown
    assert p < 1e-6


def test_identical_items_have_no_interval_and_are_equivalent_if_they_are_many(ledger):
    a = scored(*np.linspace(0, 1, 40))
    seen = entries.enter_difference(ledger, "gap", "gap", a, a, WHERE, margin=0.02, zero_one=False)
    gap = ledger.findings["gap"]
    assert (gap.value, gap.interval) == (0, None)
    assert "no spread" in gap.no_interval
    assert entries.equivalent(seen, 0.02) == (False, pytest.approx(0.98**40))
    assert entries.equivalent(seen, 0.1) == (True, pytest.approx(0.9**40))


def test_too_few_items_show_nothing(ledger):
    pair = scored(0.1, 0.2), scored(0.1, 0.3)
    seen = entries.enter_difference(ledger, "gap", "gap", *pair, WHERE, margin=0.5, zero_one=False)
    assert ledger.findings["gap"].interval is None
    assert entries.equivalent(seen, 0.5)[0] is not True


def test_sides_without_a_common_item_are_compared_by_nothing(ledger):
    empty = [ItemScore("t/0", None, "empty")]
    shared = {"margin": 5.0, "zero_one": False}
    seen = entries.enter_difference(ledger, "d", "d", scored(1.0), empty, WHERE, **shared)
    assert (seen, ledger.findings) == (None, {})
    shared["zero_one"] = True  # an empty answer is wrong then
    seen = entries.enter_difference(ledger, "d", "d", scored(1.0), empty, WHERE, **shared)
    assert seen.difference_pp == 100


def test_what_is_unavailable_is_said_once(ledger):
    assert entries.unavailable(ledger) == []
    rows = {"session": "a/00", "line": range(3), "kind": "score", "metric": ["m", "m", "n"]}
    rows |= {"status": ["not testable here"] * 2 + ["ok"], "reason": ["no index"] * 2 + [None]}
    said = entries.unavailable(Ledger(pd.DataFrame(rows)))
    assert said == ["`m` has no value: `no index`"]


def test_a_share_and_one_of_nothing(ledger):
    entries.enter_share(ledger, "all", "share", 20, 20, WHERE, reason="-", notes="1 left out")
    entries.enter_share(ledger, "none", "share", 0, 0, WHERE, reason="nothing was answered")
    assert ledger.findings["all"].value == 1
    assert ledger.findings["all"].interval.low == pytest.approx(proportions.wilson(20, 20).low)
    assert ledger.findings["all"].notes == "1 left out"
    assert (ledger.findings["none"].value, ledger.findings["none"].reason) == (
        None,
        "nothing was answered",
    )


def texts(count: int, **more) -> pd.DataFrame:
    tokens = np.arange(count) + 100
    return pd.DataFrame({"tokens": tokens, "nll": tokens * (2 + 0.01 * (tokens % 3)), **more})


def test_texts_are_the_units_and_perplexities_are_compared_by_their_logarithms(ledger):
    rows = texts(60)
    rows = rows.assign(
        reference_nll=rows["nll"] - 0.1 * rows["tokens"] * (1 + 0.1 * (rows.index % 2)),
        kl=1e-3 * rows["tokens"] * (1 + rows.index % 2),
        same_top=rows["tokens"] - rows.index % 2,
    )
    entries.enter_texts(ledger, "sut", rows, WHERE)
    seen = ledger.findings
    assert seen["sut.perplexity"].value == pytest.approx(exp(2.01), rel=1e-4)
    ratio = seen["sut.perplexity_ratio"]
    assert ratio.value == pytest.approx(exp(0.105))
    assert ratio.interval.low < ratio.value < ratio.interval.high
    assert (ratio.n, ratio.n_of) == (60, "texts")
    assert seen["sut.kl"].value == pytest.approx(1.5e-3)
    assert seen["sut.kl"].unit == "nats/token"
    assert seen["sut.same_top"].interval.high <= 1


def test_few_texts_stay_within_what_is_possible(ledger):
    rows = texts(4).assign(kl=[0.0, 0.0, 0.0, 5.0], same_top=[100, 101, 102, 90])
    entries.enter_texts(ledger, "sut", rows, WHERE)
    assert ledger.findings["sut.kl"].interval.low == 0
    assert ledger.findings["sut.same_top"].interval.high == 1


def test_texts_without_a_reference_are_compared_with_nothing(ledger):
    entries.enter_texts(ledger, "sut", texts(40), WHERE)
    entries.enter_texts(ledger, "none", texts(0), WHERE)
    assert set(ledger.findings) == {"sut.perplexity"}
    rows = texts(40).assign(kl=[None, *[0.01] * 39])
    entries.enter_texts(ledger, "part", rows, WHERE)
    assert ledger.findings["part.kl"].n == 39
    assert ledger.findings["part.kl"].notes == "1 texts without a value"


def test_a_column_that_was_never_recorded_selects_nothing(ledger):
    assert entries.selected(ledger, {"kind": "score", "benchmark": "mmlu"}).empty
    assert len(entries.selected(ledger, WHERE)) == 1
