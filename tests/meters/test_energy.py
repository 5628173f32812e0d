"""Energy of windows against answers that are known in closed form."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.meters import energy

TIMES = np.arange(0, 20.001, 0.1)


def power(values, start, end, times=TIMES, **options):
    return energy.from_power(times, values, start, end, source="test", **options)


def counter(values, start, end, times=TIMES, **options):
    return energy.from_counter(times, values, start, end, source="test", **options)


def test_constant_power():
    found = power(np.full(TIMES.size, 60.0), 2.03, 9.07)
    assert found.energy_j == pytest.approx(60 * 7.04, rel=1e-12)
    assert found.mean_power_w == pytest.approx(60, rel=1e-12)
    assert found.reasons == ()
    assert found.samples == 70
    assert found.largest_gap_s == pytest.approx(0.1)


def test_ramp_is_exact_between_samples():
    found = power(5 * TIMES, 1.234, 8.765)
    assert found.energy_j == pytest.approx(5 * (8.765**2 - 1.234**2) / 2, rel=1e-12)


def test_sine_within_the_error_of_the_trapezoid():
    found = power(100 + 50 * np.sin(TIMES), 1.0, 13.05)
    exact = 100 * 12.05 + 50 * (math.cos(1.0) - math.cos(13.05))
    bound = 12.05 * 0.1**2 / 12 * 50  # (b - a) h^2 / 12 max |f''|
    assert abs(found.energy_j - exact) <= bound


def test_window_on_the_samples_themselves():
    assert power(5 * TIMES, TIMES[0], TIMES[-1]).energy_j == pytest.approx(5 * 20**2 / 2)


@pytest.mark.parametrize(("start", "end"), [(-0.05, 5), (15, 20.05)])
def test_edge_without_a_sample_is_not_extrapolated(start, end):
    for read in (power, counter):
        found = read(60 * TIMES, start, end)
        assert found.reasons == ("edges_not_covered",)
        assert found.energy_j is None
        assert found.mean_power_w is None


def test_gap():
    kept = (TIMES < 5) | (TIMES > 6)
    found = power(np.full(kept.sum(), 60.0), 2, 12, times=TIMES[kept])
    assert found.reasons == ("gap_too_large",)
    assert found.largest_gap_s == pytest.approx(1.2)
    assert power(np.full(kept.sum(), 60.0), 6.5, 12, times=TIMES[kept]).reasons == ()
    wide = power(np.full(kept.sum(), 60.0), 2, 12, times=TIMES[kept], max_gap_s=1.5)
    assert wide.energy_j == pytest.approx(600)


def test_gap_around_an_edge_counts():
    kept = (TIMES < 5) | (TIMES > 6)
    assert "gap_too_large" in power(np.ones(kept.sum()), 5.5, 12, times=TIMES[kept]).reasons


def test_missing_power_is_a_gap_and_not_zero():
    values = np.full(TIMES.size, 60.0)
    values[30] = math.nan
    found = power(values, 1, 9)
    assert found.energy_j == pytest.approx(480)
    assert found.largest_gap_s == pytest.approx(0.2)
    values[30:40] = math.nan
    assert power(values, 1, 9).reasons == ("gap_too_large",)


def test_window_too_short():
    assert "window_too_short" in power(np.ones(TIMES.size), 5, 5.45).reasons
    assert power(np.ones(TIMES.size), 5, 5.55).reasons == ()
    averaged = power(np.ones(TIMES.size), 5, 9.9, update_period_s=1.0)
    assert averaged.reasons == ("window_too_short",)
    assert "window_too_short" in power(np.ones(TIMES.size), 6, 5).reasons


def test_no_samples():
    for read in (power, counter):
        found = read([], 0, 1, times=[])
        assert set(found.reasons) == {"too_few_samples", "edges_not_covered"}
        assert (found.energy_j, found.samples, found.largest_gap_s) == (None, 0, None)


def test_two_samples_are_too_few():
    assert "too_few_samples" in power([5.0, 5.0], 0, 0.4, times=[0.0, 0.4]).reasons


def test_counter_between_its_samples():
    found = counter(60 * TIMES + 1e9, 2.03, 9.07)
    assert found.energy_j == pytest.approx(60 * 7.04, rel=1e-9)


def test_counter_that_is_renewed_less_often_than_it_is_read():
    times = np.arange(0, 10, 0.01)
    steps = 80 * np.floor(times / 0.1 + 1e-9) * 0.1  # 80 W, renewed every .1 s
    found = counter(steps, 2.037, 7.083, times=times)
    assert found.energy_j == pytest.approx(80 * 5.046, rel=0.002)
    assert energy.update_period_s(times, steps) == pytest.approx(0.1)


@pytest.mark.parametrize("offset", [0.0, 0.03, 0.07])
def test_step_at_the_edges_costs_less_than_one_renewal_of_it_each(offset):
    start, end = 5.0 + offset, 10.0 + offset
    renewed = np.floor(TIMES / 0.1 - 0.5) * 0.1
    values = 50 * renewed + 250 * np.clip(renewed - start, 0, 5)  # 50 W idle, 300 W busy
    found = counter(values, start, end)
    assert -2 * 0.1 * 250 <= found.energy_j - 1500 <= 0


def test_counter_that_stands_still_is_no_energy_of_zero():
    found = counter(np.full(TIMES.size, 7.0), 2, 9)
    assert found.energy_j is None
    assert "too_few_samples" in found.reasons


def test_counter_wraps_around():
    wrap = 262.0
    found = counter((60 * TIMES) % wrap, 1.05, 18.95, wrap_j=wrap)
    assert found.energy_j == pytest.approx(60 * 17.9, rel=1e-9)
    assert counter((60 * TIMES) % wrap, 1.05, 18.95).reasons == ("counter_went_back",)


def test_counter_that_was_reset_is_no_wrap_around():
    values = np.where(TIMES < 10, 1000 + 60 * TIMES, 60 * (TIMES - 10))
    assert counter(values, 5, 15, wrap_j=262_143.0).reasons == ("counter_went_back",)
    assert counter(values, 11, 19, wrap_j=262_143.0).energy_j == pytest.approx(480)


def test_times_must_not_go_back():
    with pytest.raises(ValueError, match="must not go back"):
        power([1, 1, 1], 0, 2, times=[0, 2, 1])
    with pytest.raises(ValueError, match="shape"):
        power([1, 1], 0, 2, times=[0, 1, 2])


def test_total_of_two_packages():
    parts = [counter(60 * TIMES, 2, 9), counter(15 * TIMES, 2, 9)]
    assert energy.total(parts).energy_j == pytest.approx(75 * 7)
    assert energy.total(parts).source == "test + test"
    missing = energy.total([parts[0], energy.no_meter(2, 9)])
    assert missing.energy_j is None
    assert missing.reasons == ("no_meter",)
    with pytest.raises(ValueError, match="one window"):
        energy.total([parts[0], counter(TIMES, 2, 8)])


def test_above_idle_reports_both():
    busy, idle = counter(60 * TIMES, 2, 9), counter(15 * TIMES, 10, 19)
    found = energy.above_idle(busy, idle)
    assert found.energy_j == pytest.approx(420)
    assert found.idle_power_w == pytest.approx(15)
    assert found.idle_energy_j == pytest.approx(105)
    assert found.above_idle_j == pytest.approx(315)


def test_above_idle_without_idle_or_of_another_source():
    busy = counter(60 * TIMES, 2, 9)
    unknown = energy.above_idle(busy, energy.no_meter(10, 19))
    assert (unknown.above_idle_j, unknown.reasons) == (None, ("idle_not_measured",))
    assert unknown.energy_j == pytest.approx(420)
    other = energy.from_counter(TIMES, 15 * TIMES, 10, 19, source="other")
    assert energy.above_idle(busy, other).reasons == ("idle_source_differs",)


def test_every_code_has_words():
    seen = {"no_meter", "meter_lost"}
    assert seen | set(power([], 6, 5, times=[]).reasons) <= set(energy.REASONS)


samples = st.lists(
    st.tuples(st.floats(0.01, 0.4), st.floats(0, 1000)), min_size=20, max_size=60
).map(lambda rows: (np.cumsum([row[0] for row in rows]), np.array([row[1] for row in rows])))
fractions = st.tuples(st.floats(0, 0.2), st.floats(0.4, 0.6), st.floats(0.8, 1))


@given(samples, fractions)
def test_energies_of_adjoining_windows_add_up(series, cuts):
    times, watts = series
    a, b, c = (times[0] + cut * (times[-1] - times[0]) for cut in cuts)
    options = {"times": times, "update_period_s": 1e-3}
    left, right, whole = (power(watts, *w, **options) for w in ((a, b), (b, c), (a, c)))
    if not (left.reasons or right.reasons or whole.reasons):
        assert left.energy_j + right.energy_j == pytest.approx(whole.energy_j, abs=1e-6)


@given(samples, fractions)
def test_mean_power_lies_between_the_extremes(series, cuts):
    times, watts = series
    start, end = (times[0] + cut * (times[-1] - times[0]) for cut in cuts[::2])
    found = power(watts, start, end, times=times)
    if not found.reasons:
        assert watts.min() - 1e-9 <= found.mean_power_w <= watts.max() + 1e-9


@given(samples, fractions, st.floats(0, 1e5), st.floats(5000, 1e6))
def test_a_wrapping_counter_tells_what_an_endless_one_does(series, cuts, origin, wrap):
    times, steps = series
    start, end = (times[0] + cut * (times[-1] - times[0]) for cut in cuts[::2])
    endless = origin + np.cumsum(steps + 1)
    plain = counter(endless, start, end, times=times)
    wrapped = counter(endless % wrap, start, end, times=times, wrap_j=wrap)
    assert wrapped.reasons == plain.reasons
    if plain.energy_j is not None:
        assert wrapped.energy_j == pytest.approx(plain.energy_j, abs=1e-6)


@given(samples, st.floats(-5, 30), st.floats(-5, 30))
def test_an_energy_or_reasons_and_never_both(series, start, end):
    times, watts = series
    for found in (power(watts, start, end, times), counter(np.cumsum(watts), start, end, times)):
        assert (found.energy_j is None) == bool(found.reasons)
        assert (found.mean_power_w is None) == bool(found.reasons)
        assert set(found.reasons) <= set(energy.REASONS)
