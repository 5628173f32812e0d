"""Arrivals, the flow of an open system, and queues: references, identities, simulations."""

import numpy as np
import pytest

from inferometer.stats import arrivals, flow, queueing


def poisson(rng, rate, seconds):
    return np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds)))


def test_dispersion_interval_covers_one_for_poisson():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        runs = [poisson(rng, rate, 12) for rate in (3, 6, 10)]
        low, high = arrivals.dispersion(runs, [12] * 3).ci
        held += low <= 1 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_correlation_interval_covers_zero_for_poisson():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        low, high = arrivals.gap_correlation([poisson(rng, 8, 12) for _ in range(4)]).ci
        held += low <= 0 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_clustered_arrivals_are_seen():
    rng = np.random.default_rng(3)
    bursts = [np.sort(np.repeat(poisson(rng, 4, 60), 4)) for _ in range(4)]
    assert arrivals.dispersion(bursts, [60] * 4).index == pytest.approx(4, rel=0.25)
    slow = np.cumsum(np.tile(np.repeat([0.05, 0.5], 20), 10))
    assert arrivals.gap_correlation([slow]).ci[0] > 0.5


def test_counts_by_hand():
    # 10 arrivals in two windows of 5 s: 7 and 3; mean 5, squares 8, one degree of freedom
    times = [0, 1, 1, 2, 2, 3, 4, 6, 7, 8]
    seen = arrivals.dispersion([times], [10])
    assert (seen.index, seen.df, seen.windows, seen.arrivals) == (1.6, 1, 2, 10)


def test_too_few_arrivals_have_no_index():
    seen = arrivals.dispersion([[1, 2, 3]], [10])
    assert seen.index is None
    assert "too few" in seen.reason
    assert arrivals.gap_correlation([[1, 2, 3]]).r1 is None
    assert arrivals.gap_correlation([np.arange(30.0)]).r1 is None  # equal gaps


@pytest.mark.parametrize(
    ("runs", "seconds", "words"),
    [([[2, 1]], [5], "ascending"), ([[1, 6]], [5], "between 0"), ([], [], "at least 1")],
)
def test_bad_arrivals_are_refused(runs, seconds, words):
    with pytest.raises(ValueError, match=words):
        arrivals.dispersion(runs, seconds)


def test_flow_by_hand():
    # inside: one request from 0 to 2, another from 1 to 5, of the 4 s from 0 to 4
    seen = flow.flow([0, 1], [2, 5], 0, 4)
    assert seen.inside == pytest.approx((2 + 3) / 4)
    assert (seen.offered, seen.achieved) == (0.5, 0.25)
    assert seen.sojourn_s == 3
    assert seen.little == pytest.approx(1.25 / 1.5)


def test_little_is_an_identity_where_the_system_is_empty_at_both_ends():
    rng = np.random.default_rng(4)
    came = poisson(rng, 5, 10)
    left = came + rng.uniform(0, 1, came.size)
    assert flow.flow(came, left, 0, 11).little == pytest.approx(1, abs=1e-12)


def test_backlog_slope_is_the_growth_of_what_is_inside():
    came = np.arange(0, 100, 0.1)  # 10 a second come, 8 leave
    left = np.maximum(came, np.arange(came.size) / 8 + 0.125)
    assert flow.flow(came, left, 0, 100).backlog_slope == pytest.approx(2, rel=0.01)
    steady = flow.flow(came, came + 0.5, 1, 99)
    assert steady.backlog_slope == pytest.approx(0, abs=1e-3)
    # against least squares on a fine grid
    grid = np.linspace(0, 100, 20_001)
    inside = np.searchsorted(came, grid, "right") - np.searchsorted(np.sort(left), grid, "right")
    fitted = np.polyfit(grid, inside, 1)[0]
    assert flow.flow(came, left, 0, 100).backlog_slope == pytest.approx(fitted, rel=1e-3)


def test_what_never_left_has_no_mean_time():
    seen = flow.flow([0, 1], [2, np.inf], 0, 4)
    assert (seen.sojourn_s, seen.little, seen.unfinished) == (None, None, 1)
    assert seen.inside == pytest.approx((2 + 3) / 4)
    assert flow.flow([0], [1], 2, 4).reason == "nothing came"


@pytest.mark.parametrize(
    ("came", "left", "end", "words"),
    [([1], [0], 4, "leaves before"), ([1], [2, 3], 4, "equal lengths"), ([1], [2], 0, "after")],
)
def test_bad_flows_are_refused(came, left, end, words):
    with pytest.raises(ValueError, match=words):
        flow.flow(came, left, 0, end)


@pytest.mark.parametrize(
    ("servers", "rho", "wait"),
    [(1, 0.5, 1.0), (2, 0.5, 1 / 3), (4, 0.8, 0.7455), (10, 0.9, 0.6687)],
)
def test_mmc_references(servers, rho, wait):
    """Erlang's formula: waits in service times as in the tables of Hillier and Yu (1981)."""
    assert queueing.mgc(1.0, rho, 1.0, servers).Wq == pytest.approx(wait, rel=1e-3)


def test_mgc_meets_mg1_and_little():
    assert queueing.mgc(0.3, 0.7, 0.4, 1) == queueing.mg1(0.3, 0.7, 0.4)
    queue = queueing.mgc(0.3, 0.7, 0.0, 4)
    assert pytest.approx(queue.arrival_rate_per_s * queue.W) == queue.L
    assert queue.arrival_rate_per_s == pytest.approx(4 * 0.7 / 0.3)
    assert queue.p_wait_le(0) is None
    with pytest.raises(ValueError, match="servers"):
        queueing.mgc(1, 0.5, 0, 0)
    with pytest.raises(ValueError, match="rho"):
        queueing.mgc(1, 1.0, 0, 2)


@pytest.mark.parametrize(("servers", "cv"), [(1, 0.0), (4, 0.0), (4, 1.0)])
def test_waits_of_arrivals_meet_the_laws(servers, cv):
    rng = np.random.default_rng(5)
    count, rho, means = 100_000, 0.7, []
    for _ in range(6):
        came = np.cumsum(rng.exponential(1 / (servers * rho), count))
        service = rng.exponential(1, count) if cv else 1.0
        means.append(queueing.fifo_waits(came, service, servers).mean())
    # Lee and Longton's rule is good to some per cent at four servers, exact otherwise
    tolerance = 0.08 if servers > 1 and cv == 0 else 0.03
    assert np.mean(means) == pytest.approx(queueing.mgc(1, rho, cv, servers).Wq, rel=tolerance)


def test_waits_by_hand():
    assert queueing.fifo_waits([0, 1, 1, 9], 2.0).tolist() == [0, 1, 3, 0]
    assert queueing.fifo_waits([0, 1, 1, 9], [3, 2, 2, 1], 2).tolist() == [0, 0, 2, 0]


@pytest.mark.parametrize(
    ("came", "service", "words"),
    [([1, 0], 1.0, "ascending"), ([0, 1], [1.0], "equal lengths"), ([0], 0.0, "above 0")],
)
def test_bad_queues_are_refused(came, service, words):
    with pytest.raises(ValueError, match=words):
        queueing.fifo_waits(came, service)
