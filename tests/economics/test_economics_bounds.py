import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.economics import bounds, kv, memory

TINY = kv.from_facts(
    "tiny",
    {
        "layers": 4,
        "heads": 8,
        "kv_heads": 2,
        "head_dim": 16,
        "hidden": 128,
        "parameters": 1000,
        "context": 100,
    },
)


def test_bytes_of_a_step_by_hand() -> None:
    assert memory.kv_bytes_per_token(TINY, 2) == 512
    assert bounds.decode_step_bytes(2000, 512, 10) == 7120
    # steps 1, 2, 3 after a prompt of 10 attend to 11, 12, 13 tokens
    assert bounds.mean_decode_bytes(2000, 512, 10, 3) == 2000 + 512 * 12


@given(st.integers(1, 500), st.integers(1, 200))
def test_mean_bytes_are_total_over_steps(prompt: int, steps: int) -> None:
    total = sum(bounds.decode_step_bytes(2000, 512, prompt + k) for k in range(1, steps + 1))
    assert bounds.mean_decode_bytes(2000, 512, prompt, steps) == pytest.approx(total / steps)


def test_decode_fraction_by_hand() -> None:
    found = bounds.decode_bound({0: 5.0, 1: 6.0, 2: 9.0}, {0: 1000, 1: 1000, 2: 1200}, 100)
    assert found.bound_per_s == {0: 10, 1: 10, 2: 12}
    assert found.fraction.value == pytest.approx((0.5 * 0.6 * 0.75) ** (1 / 3))
    assert found.fraction.ci is not None
    assert found.fraction.note is None


def test_each_block_meets_its_own_ceiling() -> None:
    """A machine that slows down as a whole leaves the fraction where it is."""
    found = bounds.decode_bound({0: 5.0, 1: 2.5, 2: 1.0}, {0: 1000, 1: 500, 2: 200}, 100)
    assert found.fraction.value == pytest.approx(0.5)


def test_faster_than_the_bound_is_said() -> None:
    found = bounds.decode_bound({0: 15.0, 1: 16.0, 2: 17.0}, dict.fromkeys(range(3), 1000.0), 100)
    assert found.fraction.note == bounds.FASTER_THAN_THE_BOUND


def test_a_block_without_a_ceiling_is_left_out_by_name() -> None:
    found = bounds.decode_bound({0: 5.0, 1: 6.0, 2: 7.0, 3: 6.5}, {0: 1e3, 1: 1e3, 2: 1e3}, 100)
    assert found.fraction.n == 3
    assert found.fraction.note == "blocks without a partner left out: [3]"


def test_prefill_bound_by_hand() -> None:
    # 2 x 900 x 10 for the weights and 2 x 100 x 8 x 16 x 4 for attention: 120,400 for 10 tokens
    found = bounds.prefill_bound({0: 5.0}, {0: 120_400.0}, TINY, 10, 900)
    assert found.bound_per_s == {0: pytest.approx(10)}
    assert found.bytes_or_flops_per_token == 12_040
    assert found.fraction.value == pytest.approx(0.5)
    assert found.fraction.ci is None


def test_layer_weights_by_hand() -> None:
    assert bounds.layer_weights(2000, 2, 3, 100) == 700
    with pytest.raises(ValueError, match="leave nothing"):
        bounds.layer_weights(2000, 2, 10, 100)
