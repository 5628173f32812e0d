import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.economics import roofline
from inferometer.economics.architecture import Architecture

TINY = Architecture(
    name="tiny",
    layers=4,
    heads=8,
    kv_heads=2,
    head_dim=16,
    hidden=128,
    params=1000.0,
    active_params=1000.0,
    kv_layers=4,
    positions=100,
)


def test_dual_channel_ddr5_6400_by_hand() -> None:
    # 6400 million transfers x 8 bytes = 51.2 GB/s a channel
    assert roofline.dram_bandwidth(6400e6, 1) == 51.2e9
    assert roofline.dram_bandwidth(6400e6, 2) == 102.4e9
    assert roofline.dram_bandwidth(28e9, 1, 256) == 896e9


def test_decode_ceiling_by_hand() -> None:
    assert roofline.decode_ceiling(200, 4) == 50
    assert roofline.decode_ceiling(200, 4, batch=8) == 400
    assert roofline.decode_bandwidth(50, 4) == 200


def test_prefill_by_hand() -> None:
    # 2 x 1000 x 10 for the weights; attention 2 x 100 x 8 x 16 x 4
    assert roofline.prefill_flops(TINY, 10, 1000) == 20_000 + 102_400
    assert roofline.prefill_seconds(122_400, 61_200) == 2


def test_ridge_by_hand() -> None:
    assert roofline.ridge_intensity(600, 4) == 150


def test_offload_times_add() -> None:
    # 14 GB at 700 GB/s and 26 GB at 100 GB/s: 20 + 260 ms
    assert roofline.offload_seconds(14, 700, 26, 100) == pytest.approx(0.28)


def test_speculation_by_hand() -> None:
    # a = .5, 1 drafted token that costs nothing: (1 - .25) / .5
    assert roofline.speculative_speedup(0.5, 1, 0) == 1.5
    assert roofline.speculative_speedup(0, 4, 0.1) == pytest.approx(1 / 1.4)
    with pytest.raises(ValueError, match="acceptance"):
        roofline.speculative_speedup(1, 4, 0.1)


@given(st.floats(0, 0.99), st.integers(1, 16))
def test_speculation_is_bounded_by_the_tokens_produced(acceptance: float, drafted: int) -> None:
    speedup = roofline.speculative_speedup(acceptance, drafted, 0.1)
    assert 0 < speedup <= drafted + 1


def test_zero_bandwidth_is_refused() -> None:
    with pytest.raises(ValueError, match="bandwidth must be above 0"):
        roofline.decode_ceiling(0, 4)
