from typing import Any

import pytest

from inferometer.artifacts import catalog
from inferometer.economics import kv, memory
from inferometer.errors import UserError

FACTS: dict[str, Any] = {
    "layers": 4,
    "heads": 8,
    "kv_heads": 2,
    "head_dim": 16,
    "hidden": 128,
    "parameters": 1000,
    "context": 100,
}
TINY = kv.from_facts("tiny", FACTS)


def published(name: str, parameters: float) -> kv.Architecture:
    return kv.from_catalog(name, catalog.shipped().architectures[name], parameters, 131_072)


def test_bridge_from_the_catalog() -> None:
    found = kv.from_catalog(
        "smollm2-135m", catalog.shipped().architectures["smollm2-135m"], 134.5e6
    )
    assert (found.layers, found.kv_layers, found.kv_heads, found.positions) == (30, 30, 3, 8192)
    assert found.params == found.active_params == 134.5e6


@pytest.mark.parametrize("name", sorted(catalog.shipped().architectures))
def test_kv_bytes_of_every_catalogued_model(name: str) -> None:
    entry = catalog.shipped().architectures[name]
    found = kv.from_catalog(name, entry, 1e9, context=1024)
    by_hand = 2 * entry.layers * entry.kv_heads * entry.head_dim * 2 * 1024
    assert memory.kv_bytes(found, 1024, 2) == by_hand


@pytest.mark.parametrize("key", ["kv_heads", "heads", "layers", "parameters", "context"])
@pytest.mark.parametrize("bad", [None, 0, "8", True])
def test_missing_facts_are_refused(key: str, bad: Any) -> None:
    with pytest.raises(UserError, match=rf"tiny: {key} is .*config\.json"):
        kv.from_facts("tiny", {**FACTS, key: bad})


def test_a_model_without_an_architecture_is_refused() -> None:
    with pytest.raises(UserError, match="mine: layers is missing"):
        kv.from_catalog("mine", None, 1e9, 2048)


def test_uneven_heads_are_refused() -> None:
    with pytest.raises(UserError, match="8 heads cannot share 3 KV heads"):
        kv.from_facts("tiny", {**FACTS, "kv_heads": 3})


def test_grouped_saving_by_hand() -> None:
    # 2 x 4 layers x 2 heads x 16 x 2 bytes = 512 a token; with 8 heads four times that
    found = kv.grouped_saving(TINY, 10, 2)
    assert (found.grouped_bytes, found.multi_head_bytes) == (5120, 20480)
    assert (found.factor, found.saved_bytes) == (4, 15360)
    assert kv.grouped_saving(kv.multi_head(TINY), 10, 2).factor == 1


def test_crossover_knows_what_the_model_accepts() -> None:
    near = kv.crossover(TINY, 512 * 50, 2)
    assert (near.tokens, near.reachable, near.share_at_context) == (50, True, 2)
    far = kv.crossover(TINY, 512 * 200, 2)
    assert (far.tokens, far.reachable, far.share_at_context) == (200, False, 0.5)


def test_prediction_error() -> None:
    assert kv.prediction_error(101, 100) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="allocated_bytes"):
        kv.prediction_error(1, 0)


def test_published_kv_sizes_recomputed() -> None:
    """TR123: 56 MiB (qwen2.5-1.5b) and 640 MiB (phi-2) at 2,048 tokens in FP16, 11.4 apart."""
    qwen = memory.kv_bytes(published("qwen2.5-1.5b", 1.54e9), 2048, 2)
    phi = memory.kv_bytes(published("phi-2", 2.7e9), 2048, 2)
    assert qwen == 56 * 2**20
    assert phi == 640 * 2**20
    assert round(phi / qwen, 1) == 11.4


def test_published_crossovers_recomputed() -> None:
    """TR123: from 6.7K tokens (gpt2, which accepts 1,024) to 108K (qwen2.5-1.5b)."""
    gpt2 = kv.from_catalog("gpt2", catalog.shipped().architectures["gpt2"], 124e6, context=1024)
    found = kv.crossover(gpt2, 2 * 124e6, 2)
    assert found.tokens == pytest.approx(6.7e3, rel=0.01)
    assert not found.reachable
    qwen = published("qwen2.5-1.5b", 1.54e9)
    assert kv.crossover(qwen, 2 * 1.54e9, 2).tokens == pytest.approx(108e3, rel=0.01)
