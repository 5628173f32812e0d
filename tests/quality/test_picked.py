"""What SUTs pick by log-probability becomes findings."""

import numpy as np
import pandas as pd
import pytest

from inferometer.analysis import Ledger
from inferometer.quality import picked


def ledger(**picks: list[float]) -> Ledger:
    """`choice` rows of an item a pick, for each SUT; nan where nothing was picked."""
    rows = [
        {
            **{"session": f"{sut}/00", "sut": sut, "line": at + 1, "kind": "choice"},
            **{"phase": "choices", "benchmark": "mmlu", "cell_valid": True},
            **{"task": "mmlu", "item": str(at), "picked": pick},
        }
        for sut, chosen in picks.items()
        for at, pick in enumerate(chosen)
    ]
    return Ledger(pd.DataFrame(rows))


def test_the_most_frequent_choice_is_named_with_its_share():
    entered = ledger(one=[2.0, 2.0, 0.0, np.nan, 2.0])
    picked.enter_modal(entered, "one.mmlu", "one", "mmlu")
    found = entered.findings["one.mmlu.modal_choice"]
    assert (found.value, found.n, found.rows.count) == (0.75, 4, 5)
    assert "picks choice C" in found.title


def test_agreement_is_more_than_equal_preferences():
    # both pick the first choice nine times of ten, and never the same other one
    entered = ledger(one=[0.0] * 90 + [1.0] * 10, two=[1.0] * 10 + [0.0] * 90)
    picked.enter_agreement(entered, "x", ["one", "two"], "mmlu")
    same, kappa = entered.findings["x.same_choice"], entered.findings["x.kappa"]
    assert (same.value, same.n, same.rows.count) == (0.8, 100, 200)
    assert kappa.value == pytest.approx((0.8 - 0.82) / (1 - 0.82))
    assert kappa.interval.low < kappa.value < kappa.interval.high


def test_items_without_a_pick_are_left_out_and_told():
    entered = ledger(one=[0.0, 1.0, np.nan], two=[0.0, 0.0, 1.0])
    picked.enter_agreement(entered, "x", ["one", "two"], "mmlu")
    same = entered.findings["x.same_choice"]
    assert (same.value, same.n) == (0.5, 2)
    assert same.notes == "1 items without a pick on one side, left out"


@pytest.mark.parametrize(
    ("one", "two", "value", "said"),
    [
        ([0.0, 1.0], [0.0, 1.0], 1.0, "agree on every item"),
        ([0.0] * 5 + [1.0] * 5, [1.0] * 5 + [0.0] * 5, -1.0, "error of kappa is 0"),
        ([0.0] * 9 + [1.0], [1.0] + [0.0] * 9, -1 / 9, "fewer than 5 answers beside"),
    ],
)
def test_kappa_without_an_interval_says_why(one, two, value, said):
    entered = ledger(one=one, two=two)
    picked.enter_agreement(entered, "x", ["one", "two"], "mmlu")
    kappa = entered.findings["x.kappa"]
    assert kappa.value == pytest.approx(value)
    assert kappa.interval is None
    assert said in kappa.no_interval


def test_what_was_not_asked_is_not_entered_and_what_was_not_picked_says_so():
    entered = ledger(one=[np.nan, np.nan])
    picked.enter_agreement(entered, "x", ["one", "two"], "mmlu")
    picked.enter_modal(entered, "two.mmlu", "two", "mmlu")
    assert not entered.findings
    picked.enter_modal(entered, "one.mmlu", "one", "mmlu")
    picked.enter_agreement(entered, "x", ["one", "one"], "mmlu")
    assert entered.findings["one.mmlu.modal_choice"].value is None
    assert entered.findings["x.same_choice"].reason == "no item was picked by both"
    assert "x.kappa" not in entered.findings
