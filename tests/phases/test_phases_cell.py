"""What a worker is asked before a long sequence is tried; the facts are those of a small model."""

from types import SimpleNamespace

import pytest

from inferometer.economics import context_memory, kv
from inferometer.errors import UserError
from inferometer.phases import cell

FACTS = {
    **{"layers": 2, "heads": 8, "kv_heads": 2, "head_dim": 64, "hidden": 512},
    **{"vocabulary": 1000, "parameters": 10_000_000, "context": 8192},
    **{"weight_bytes": 40_000_000, "loaded_bytes": 60_000_000, "kv_value_bytes": 4},
    **{"device": "cpu", "attention": "eager", "memory_limit_mib": None},
}


def why_not(tokens: int, **changed) -> str | None:
    sut = SimpleNamespace(artifact="small", stack="transformers")
    return cell._not_testable(SimpleNamespace(sut=sut, properties=FACTS | changed), tokens)


def test_the_plan_is_the_predicted_peak():
    model = context_memory.MemoryModel(
        kv.from_facts("small", FACTS),
        weight_bytes=40e6,
        base_bytes=20e6,
        value_bytes=4,
        vocabulary=1000,
        score_copies=context_memory.eager_copies(4, "cpu"),
    )
    enough = context_memory.predict(model, 4096).peak / cell.CAPACITY_SHARE
    assert why_not(4096, capacity_bytes=enough * 1.001) is None
    assert "4096 tokens need about 1.2 GB" in why_not(4096, capacity_bytes=enough * 0.999)


def test_fused_attention_needs_no_scores():
    assert why_not(4096, capacity_bytes=100e6, attention="sdpa") is None


def test_beyond_the_context_and_within_a_declared_limit():
    assert "beyond the model's context of 8192" in why_not(8193, capacity_bytes=1e12)
    assert why_not(8192, capacity_bytes=1, memory_limit_mib=512) is None


def test_facts_that_are_missing_are_named():
    with pytest.raises(UserError, match="small: kv_heads is missing"):
        why_not(100, capacity_bytes=1e12, kv_heads=None)
