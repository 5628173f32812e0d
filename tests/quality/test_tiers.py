"""Tiers and the compatibility matrix on intervals made up for the test."""

from math import inf

import pytest

from inferometer.quality import tiers
from inferometer.quality.tiers import BOUNDS, Bound, compatibility, tier, worst


@pytest.mark.parametrize(
    ("ends", "expected", "touches"),
    [
        ((-2.0, 1.0), "negligible", ("negligible",)),
        ((-3.0, None), "negligible", ("negligible",)),
        ((-4.9, -3.1), "acceptable", ("acceptable",)),
        ((-9.0, -6.0), "concerning", ("concerning",)),
        ((None, -10.5), "unacceptable", ("unacceptable",)),
        ((-4.0, -2.0), "undecided", ("negligible", "acceptable")),
        ((-12.0, 1.0), "undecided", tuple(bound.tier for bound in BOUNDS)),
        ((-5.0, -3.0), "undecided", ("negligible", "acceptable")),
        (None, "undecided", tuple(bound.tier for bound in BOUNDS)),
    ],
)
def test_a_tier_only_if_the_whole_interval_is_inside(ends, expected, touches):
    found = tier(ends)
    assert (found.tier, found.touches) == (expected, touches)
    assert (found.reason is None) == (expected != "undecided")


def test_bounds_are_data_with_sources():
    assert all(bound.source for bound in BOUNDS)
    own = (Bound("fine", -1.0, "this test"), Bound("poor", -inf, "this test"))
    assert tier((-2.0, -1.5), own).tier == "poor"
    with pytest.raises(ValueError, match="must descend"):
        tier((0.0, 1.0), own[::-1])
    with pytest.raises(ValueError, match="low <= high"):
        tier((1.0, 0.0))


def test_the_worst_takes_the_least_ends():
    assert worst([(-2.0, 3.0), (-1.0, 1.0)]) == (-2.0, 1.0)
    assert worst([(-2.0, 3.0), (None, 1.0)]) == (None, 1.0)
    assert worst([(-2.0, 3.0), None]) is None


def test_compatibility_passes_fails_or_says_what_is_open():
    matrix = compatibility(
        {
            ("m", "q8_0"): {"mmlu": (-2.0, 1.0), "arc_challenge": (-4.0, 1.0)},
            ("m", "q4_k_m"): {"mmlu": (-2.0, 1.0), "arc_challenge": (-6.0, 1.0)},
            ("m", "q3_k_s"): {"mmlu": None, "arc_challenge": (-2.0, 0.0)},
            ("m", "q2_k"): {"mmlu": (-20.0, -12.0), "arc_challenge": (-6.0, 1.0)},
            ("m", "q6_k"): {},
        }
    )
    outcomes = {level: cell.outcome for (_, level), cell in matrix.items()}
    assert outcomes == {
        **{"q8_0": "pass", "q4_k_m": "undecided", "q3_k_s": "undecided"},
        **{"q2_k": "fail", "q6_k": "undecided"},
    }
    reasons = {level: cell.reason for (_, level), cell in matrix.items()}
    assert reasons["q4_k_m"] == "the interval crosses -5 pp: arc_challenge"
    assert reasons["q3_k_s"] == "no interval: mmlu"
    assert reasons["q6_k"] == "no findings"


@pytest.mark.parametrize(
    ("ends", "least", "most"),
    [
        ((0.5, 0.6), "pass", "undecided"),
        ((0.4, 0.49), "fail", "pass"),
        ((0.4, 0.5), "undecided", "pass"),
        ((0.51, None), "pass", "fail"),
        (None, "undecided", "undecided"),
    ],
)
def test_an_outcome_needs_the_whole_interval(ends, least, most):
    assert tiers.at_least(ends, 0.5) == least
    assert tiers.at_most(ends, 0.5) == most
