"""Sampling noise of simulated scores whose components are known."""

import numpy as np
import pytest

from inferometer.quality.variance import NO_NOISE, NO_REPETITION, repetitions_for, sampling_noise
from inferometer.stats import oneway


def simulated(items, repetitions, between, within, seed=0):
    rng = np.random.default_rng(seed)
    counts = [repetitions] * items if isinstance(repetitions, int) else repetitions
    level = rng.normal(0.5, between, items)
    return {f"i{k}": list(level[k] + rng.normal(0, within, n)) for k, n in enumerate(counts)}


@pytest.mark.parametrize("counts", [5, [2, 5, 8, 3] * 15], ids=["balanced", "unbalanced"])
def test_components_are_found_inside_their_intervals(counts):
    found = sampling_noise(simulated(60, counts, between=0.2, within=0.1, seed=4))
    assert found.between_ci[0] < 0.04 < found.between_ci[1]
    assert found.within_ci[0] < 0.01 < found.within_ci[1]
    assert found.within_share_ci[0] < 0.2 < found.within_share_ci[1]
    assert found.within_share == pytest.approx(found.within / (found.within + found.between))
    assert found.caution is None
    assert found.reason is None


def test_balanced_components_are_those_of_the_analysis_of_variance():
    data = simulated(12, 4, between=0.3, within=0.1)
    found = sampling_noise(data)
    table = oneway.anova(list(data.values()))
    between = found.within * (table.F - 1) / 4
    assert found.between == pytest.approx(between, rel=1e-9)
    assert "below 30" in found.caution


def test_repetitions_bring_the_noise_of_the_mean_below_the_margin():
    data = simulated(50, 5, between=0.2, within=0.1)
    found = sampling_noise(data)
    needed = repetitions_for(found, 0.01)

    def noise(repetitions):
        return 1.959964 * np.sqrt(found.within / 50 / repetitions)

    assert noise(needed.needed) <= 0.01 < noise(needed.needed - 1)
    assert needed.needed_high >= needed.needed
    assert found.noise_of_mean == pytest.approx(noise(5), rel=1e-6)


def test_the_needed_repetitions_hold_in_simulation():
    rng = np.random.default_rng(11)
    found = sampling_noise(simulated(50, 20, between=0.2, within=0.1, seed=2))
    needed = repetitions_for(found, 0.01).needed
    means = rng.normal(0, 0.1, (2000, 50, needed)).mean(axis=(1, 2))
    assert (np.abs(means) <= 0.01).mean() > 0.93


def test_undefined_cases_are_said():
    once = sampling_noise({"a": [0.1], "b": [0.4], "c": [0.5]})
    assert (once.within, once.within_share, once.noise_of_mean) == (None, None, None)
    assert once.reason == NO_REPETITION
    assert repetitions_for(once, 0.1).needed is None
    still = sampling_noise({"a": [0.1, 0.1], "b": [0.4, 0.4], "c": [0.5, 0.5]})
    assert (still.within, still.within_share, still.within_ci) == (0, 0, None)
    assert still.reason == NO_NOISE
    assert repetitions_for(still, 0.1).needed == 1
    flat = sampling_noise({"a": [1, 1], "b": [1, 1], "c": [1, 1]})
    assert flat.within_share is None
    two = sampling_noise({"a": [0.1, 0.3], "b": [0.4, 0.5]})
    assert two.within > 0
    assert two.within_ci is None
    assert "fewer than 3 items" in two.reason


def test_items_that_do_not_differ_have_no_between_variance_below_zero():
    found = sampling_noise({"a": [0, 1], "b": [1, 0], "c": [0, 1], "d": [1, 0]})
    assert found.truncated
    assert found.between == 0
    assert found.within_share == 1


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": [1.0]}, "at least 2 groups"),
        ({"a": [1.0], "b": []}, "at least 1 value"),
        ({"a": [1.0], "b": [float("nan")]}, "finite"),
    ],
)
def test_bad_input_is_named(scores, message):
    with pytest.raises(ValueError, match=message):
        sampling_noise(scores)


def test_a_margin_of_zero_is_refused():
    with pytest.raises(ValueError, match="margin: must be above 0"):
        repetitions_for(sampling_noise(simulated(5, 3, 0.1, 0.1)), 0)
