import pytest

from inferometer.economics import memory
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
    kv_layers=3,
    positions=100,
)


def test_weights_by_hand() -> None:
    assert memory.weight_bytes(1000, 16) == 2000
    assert memory.weight_bytes(32, 8.5) == 34  # one Q8_0 block: 32 bytes and a 2-byte scale
    assert memory.bits_per_weight(34, 32) == 8.5


def test_kv_counts_only_layers_with_a_cache() -> None:
    # 2 (keys and values) x 3 layers x 2 heads x 16 x 2 bytes
    assert memory.kv_bytes_per_token(TINY, 2) == 384
    assert memory.kv_bytes(TINY, 10, 1, sequences=4) == 192 * 40


def test_tokens_that_fit_is_the_inverse() -> None:
    assert memory.tokens_that_fit(TINY, 3840, 2) == 10
    assert memory.tokens_that_fit(TINY, -5, 2) == 0


def test_crossover_is_where_kv_equals_weights() -> None:
    tokens = memory.kv_crossover_tokens(TINY, 16, 2)
    assert memory.kv_bytes(TINY, tokens, 2) == pytest.approx(memory.weight_bytes(1000, 16))


def test_attention_scores_are_quadratic() -> None:
    assert memory.attention_score_bytes(8, 10, 4) == 3200
    assert memory.attention_score_bytes(8, 20, 4) == 4 * 3200


def test_plan_adds_up() -> None:
    plan = memory.plan(TINY, capacity=3000, bits=16, tokens=2, activations=100, buffers=32)
    assert (plan.weights, plan.kv, plan.needed, plan.free) == (2000, 768, 2900, 100)
    assert plan.fits
    assert not memory.plan(TINY, capacity=2000, bits=16, tokens=1).fits


def test_negative_buffers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"buffers is -0\.4"):
        memory.plan(TINY, capacity=80, bits=16, tokens=1, buffers=-0.4)


@pytest.mark.parametrize("bad", [0, -1])
def test_sizes_must_be_positive(bad: float) -> None:
    with pytest.raises(ValueError, match="params must be above 0"):
        memory.weight_bytes(bad, 16)
    with pytest.raises(ValueError, match="bytes_per_value"):
        memory.kv_bytes_per_token(TINY, bad)
