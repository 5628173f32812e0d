import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.economics import capacity


def test_requests_by_hand() -> None:
    # 700 tokens at 7000 tok/s and 28 at 280 tok/s: 0.1 s each
    assert capacity.request_seconds(700, 28, 7000, 280) == pytest.approx(0.2)
    assert capacity.decode_share(700, 28, 7000, 280) == pytest.approx(0.5)
    assert capacity.machines_needed(7200, 3600) == 2


def test_queueing_quantities_by_hand() -> None:
    assert capacity.utilisation(1.0, 1.435) == 1.435
    assert capacity.utilisation(2, 1, servers=4) == 0.5
    assert capacity.in_flight(41.7, 0.083) == pytest.approx(3.461, abs=1e-3)


def test_amdahl_by_hand() -> None:
    # s = .05, n = 8: 1 / (.05 + .95/8)
    assert capacity.amdahl_speedup(0.05, 8) == pytest.approx(5.925926, abs=1e-6)
    assert capacity.amdahl_efficiency(0.54, 4) == pytest.approx(1 / 2.62)
    assert capacity.amdahl_speedup(0, 8) == 8
    assert capacity.amdahl_speedup(1, 8) == 1


@given(st.floats(0.01, 1), st.integers(2, 64))
def test_efficiency_and_serial_fraction_are_inverse(fraction: float, n: int) -> None:
    efficiency = capacity.amdahl_efficiency(fraction, n)
    assert capacity.amdahl_serial_fraction(efficiency, n) == pytest.approx(fraction, rel=1e-6)


def test_usl_without_contention_is_linear() -> None:
    assert capacity.usl_throughput(8, 20, 0, 0) == 160
    # published raytracer fit (statistics reference case) at one processor is gamma itself
    assert capacity.usl_throughput(1, 20.85605, 0.02444404, 0.001626809) == 20.85605


def test_weighted_geometric_mean_by_hand() -> None:
    assert capacity.weighted_geometric_mean([2, 8], [1, 1]) == pytest.approx(4)
    assert capacity.weighted_geometric_mean([2, 8], [2, 0]) == pytest.approx(2)
    assert capacity.weighted_geometric_mean([0, 1], [1, 1]) == 0


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.1, 3)), min_size=1, max_size=30))
def test_geometric_mean_stays_between_its_values(votes: list[tuple[float, float]]) -> None:
    values, weights = [v for v, _ in votes], [w for _, w in votes]
    mean = capacity.weighted_geometric_mean(values, weights)
    assert min(values) * 0.999999 <= mean <= max(values) * 1.000001


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: capacity.amdahl_speedup(1.2, 4), r"in \[0, 1\]"),
        (lambda: capacity.amdahl_serial_fraction(0.5, 1), "n must be above 1"),
        (lambda: capacity.weighted_geometric_mean([1], [1, 2]), "1 values but 2 weights"),
        (lambda: capacity.weighted_geometric_mean([-1], [1]), "must not be negative"),
        (lambda: capacity.request_seconds(1, 1, 0, 1), "prefill_per_s"),
    ],
)
def test_impossible_input_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
