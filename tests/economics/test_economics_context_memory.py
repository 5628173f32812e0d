from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.economics import context_memory as cm
from inferometer.economics import kv

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
FUSED = cm.MemoryModel(TINY, weight_bytes=2000, value_bytes=2, vocabulary=50)
EAGER = replace(FUSED, score_copies=cm.eager_copies(2, "cuda"))


def test_parts_by_hand() -> None:
    found = cm.predict(EAGER, 10)
    assert found.kv == 512 * 10
    # 8 heads x 100 x (2 + 4 + 2) bytes, and a mask of 100 x 2
    assert found.scores == 6400 + 200
    assert (found.logits, found.all_logits) == (200, 2000)
    assert found.peak == 2000 + 5120 + 6600  # the scores are gone when the logits come


def test_fused_attention_writes_no_scores() -> None:
    assert cm.predict(FUSED, 10).scores == 0
    assert cm.predict(FUSED, 10).peak == 2000 + 5120 + 200


@pytest.mark.parametrize(
    ("value_bytes", "device", "per_score"),
    [(4, "cpu", 8), (4, "cuda", 8), (2, "cpu", 10), (2, "cuda", 8)],
)
def test_bytes_a_score(value_bytes: float, device: Any, per_score: float) -> None:
    copies = cm.eager_copies(value_bytes, device)
    assert sum(copy.bytes_per_score for copy in copies) == per_score
    assert all(copy.reason for copy in copies)


def test_eager_peaks_as_observed() -> None:
    """Transformers 5.19 on a CPU, 12 heads, 2,048 tokens: 451 MB (float32), 523 MB (bfloat16).

    Growth of the process's peak in one forward pass of a two-layer Llama; what 2,048 tokens need
    besides (27 MB in float32 with fused attention; half of it in bfloat16) is the activations.
    """
    shape = {"layers": 2, "heads": 12, "kv_heads": 12, "head_dim": 16, "hidden": 192}
    small = kv.from_facts("small", shape | {"parameters": 1e6, "context": 8192})
    for value_bytes, fused, observed in ((4, 26.8e6, 450.9e6), (2, 13.4e6, 523.2e6)):
        model = cm.MemoryModel(
            small, 1.0, value_bytes, 256, cm.eager_copies(value_bytes, "cpu"), fused / 2048
        )
        found = cm.predict(model, 2048)
        assert found.activations + found.scores == pytest.approx(observed, rel=0.03)


def test_all_logits_count_where_the_model_computes_them() -> None:
    found = cm.predict(replace(FUSED, logits="all positions"), 10)
    assert found.logits == found.all_logits == 2000
    assert found.peak == 2000 + 5120 + 2000


def test_linear_parts_by_hand() -> None:
    found = cm.predict(replace(FUSED, activation_bytes_per_token=7, base_bytes=1000), 10)
    assert (found.activations, found.base, found.peak) == (70, 1000, 8320)  # logits: 200


def test_largest_context_by_hand() -> None:
    # 2200 + 512 n <= 0.9 x 10,000 holds up to n = 13
    found = cm.largest_context(FUSED, 10_000, 0.9)
    assert (found.tokens, found.bound) == (13, "memory")
    assert found.predicted is not None
    assert found.predicted.peak <= found.budget_bytes == 9000


def test_the_models_context_binds_where_memory_is_plenty() -> None:
    found = cm.largest_context(FUSED, 1e9, 0.85)
    assert (found.tokens, found.bound) == (100, "model")


def test_weights_alone_may_not_fit() -> None:
    found = cm.largest_context(FUSED, 2500, 0.9)
    assert (found.tokens, found.bound, found.predicted) == (0, "weights", None)


@given(st.floats(2800, 1e6), st.sampled_from([0.85, 0.9, 1.0]), st.booleans())
def test_one_token_more_does_not_fit(capacity: float, share: float, eager: bool) -> None:
    model = EAGER if eager else FUSED
    found = cm.largest_context(model, capacity, share)
    if found.tokens:
        assert cm.predict(model, found.tokens).peak <= found.budget_bytes
    if found.bound != "model":
        assert cm.predict(model, found.tokens + 1).peak > found.budget_bytes


@given(st.floats(2800, 1e6))
def test_eager_never_reaches_further_than_fused(capacity: float) -> None:
    eager, fused = (cm.largest_context(model, capacity, 0.9).tokens for model in (EAGER, FUSED))
    assert eager <= fused


def test_published_memory_cliff_is_scores_not_kv() -> None:
    """TR127, qwen2.5-1.5b FP16: 10,654 MiB at 8K, which its KV cache (224 MiB) cannot explain.

    Weights, KV cache and the eager scores of one layer (12 heads) come within 15 %; fused
    attention would need a third.
    """
    qwen = kv.from_facts(
        "qwen2.5-1.5b",
        {
            "layers": 28,
            "heads": 12,
            "kv_heads": 2,
            "head_dim": 128,
            "hidden": 1536,
            "parameters": 1.54e9,
            "context": 32768,
        },
    )
    fused = cm.MemoryModel(qwen, weight_bytes=3.09e9, value_bytes=2, vocabulary=151_936)
    eager = replace(fused, score_copies=cm.eager_copies(2, "cuda"))
    measured = 10_654 * 2**20
    assert cm.predict(fused, 8192).kv == 224 * 2**20
    assert cm.predict(fused, 8192).peak < measured / 3
    assert cm.predict(eager, 8192).peak == pytest.approx(measured, rel=0.15)


def test_impossible_arguments() -> None:
    with pytest.raises(ValueError, match="share"):
        cm.largest_context(FUSED, 1e6, 1.2)
    with pytest.raises(ValueError, match="capacity_bytes"):
        cm.largest_context(FUSED, 0, 0.9)
    with pytest.raises(ValueError, match="at least 0"):
        replace(FUSED, base_bytes=-1)
    with pytest.raises(ValueError, match="vocabulary"):
        replace(FUSED, vocabulary=0)
