"""The registry itself: every entry judged, every verdict recomputed, worked cases by hand."""

import time
from pathlib import Path

import pytest

from inferometer.claims import judge, verdicts
from inferometer.claims.registry import load
from inferometer.claims.schema import Claim

HERE = Path(__file__).parents[2]
NOWHERE = HERE / "tests" / "no-results"
JUDGED = verdicts.judge_folder(HERE / "claims", NOWHERE)
COUNTS = {"s000": 93, "s001": 183, "s002": 12, "s003": 92, "s004": 8}


def test_nothing_is_wrong_with_the_registry() -> None:
    assert JUDGED.problems == []
    assert {
        source: sum(item.source.id == source for item in JUDGED.judged) for source in COUNTS
    } == COUNTS


def test_every_entry_has_a_verdict_with_a_reason() -> None:
    assert not [item.claim.id for item in JUDGED.judged if item.verdict == "not judged"]
    assert not [item.claim.id for item in JUDGED.judged if not item.reason]


@pytest.mark.parametrize("item", JUDGED.judged, ids=lambda item: item.claim.id)
def test_the_computed_verdict_is_the_expected_one(item: verdicts.Judged) -> None:
    assert item.claim.expected == item.verdict


def test_the_expected_verdict_decides_nothing() -> None:
    loaded = load(HERE / "claims")
    entry = loaded["s000-ddr5-51"]
    swapped = entry.claim.model_copy(update={"expected": "reproduced"})
    again = judge.check(type(entry)(swapped, entry.source, entry.file), loaded.constants)
    assert again is not None
    assert again.verdict == "inconsistent"


def test_every_constant_is_used_and_every_quantity_has_a_unit() -> None:
    used = {name for item in JUDGED.judged if item.check for name in item.check.constants}
    assert sorted(set(JUDGED.constants.sources) - used) == []
    assert all(q.unit for item in JUDGED.judged for q in item.claim.quantities)


def test_impossible_verdicts_say_by_what_factor_where_a_ratio_exists() -> None:
    without = [
        item.claim.id
        for item in JUDGED.judged
        if item.verdict == "impossible" and item.factor is None
    ]
    # a build, a version and a negative size have no ratio
    assert without == ["s000-vllm-071-sm120", "s000-70b-cpu-image", "s003-neg-buffers"]


@pytest.mark.parametrize(
    ("claim", "step", "by_hand"),
    [
        ("s000-ddr5-51", "both", "102.4"),  # 2 x 6400e6 x 8
        ("s000-kv-16k-32seq", "needed", "34.3597"),  # 32 x 16384 x 65536
        ("s000-breakeven-8-12", "vs_runpod", "31.3952"),  # 2500 / (93.6 - 13.97)
        ("s000-gate-llamacpp-100", "needed", "194.368"),  # 100 x 3.2127 x 4.84 / 8
        ("s000-70b-8-15", "best", "3.80528"),
        ("s001-f1-eta2", "from_high_s", "0.649351"),  # 1 / 1.54
        ("s001-h5-eta4", "high", "0.460829"),  # 1 / 2.17
        ("s001-h5-eta8", "low", "0.209205"),  # 1 / 4.78
        ("s001-q5-decode-ignored", "per_gpu", "8.59788"),
        ("s001-h2-thresholds", "phi2_gb", "8.24435"),  # 5.56 + 8192 x 327680
        ("s003-gpu1-80", "by_groups", "86.2"),
        ("s003-pipeline-83", "added", "98"),
        ("s003-geomean", "formula_at_one", "1.10857"),
        ("s003-geomean", "true_at_half", "0.5"),
        ("s003-cost-table", "old_added", "1046"),
        ("s004-kv-spill", "cache", "0.201327"),  # 2 x 12 x 2 x 256 x 2 x 8192
    ],
)
def test_worked_cases(claim: str, step: str, by_hand: str) -> None:
    check = JUDGED[claim].check
    assert check is not None
    assert {result.name: result.value for result in check.steps}[step] == by_hand


def test_all_verdicts_within_two_seconds() -> None:
    start = time.perf_counter()
    verdicts.judge_folder(HERE / "claims", NOWHERE)
    assert time.perf_counter() - start < 2


def test_statements_are_sentences_of_moderate_length() -> None:
    def odd(claim: Claim) -> bool:
        return not 10 < len(claim.statement) < 220

    assert [item.claim.id for item in JUDGED.judged if odd(item.claim)] == []
