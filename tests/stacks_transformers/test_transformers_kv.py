import json
import subprocess
from pathlib import Path

import pytest

from inferometer.stacks.transformers import HOST

pytestmark = pytest.mark.slow  # builds nine architectures
PUBLISHED = {  # heads, KV heads, head size
    "smollm2-135m": (9, 3, 64),
    "gpt2": (12, 12, 64),
    "qwen2.5-0.5b": (14, 2, 64),
    "qwen2.5-1.5b": (12, 2, 128),
    "qwen2.5-3b": (16, 2, 128),
    "phi-2": (32, 32, 80),
    "llama3.2-1b": (32, 8, 64),
    "llama3.2-3b": (24, 8, 128),
    "llama3.1-8b": (32, 8, 128),
}
BFLOAT16_BYTES, LAYERS, PROMPT, OUTPUT = 2, 2, 24, 9


@pytest.fixture(scope="module")
def measured(python):
    script = Path(__file__).with_name("kv_of_architectures.py")
    done = subprocess.run(
        [str(python), str(script), str(HOST.parent)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_cache_holds_what_the_formula_says(measured, name, cache):
    found = measured[f"{name} {cache}"]
    facts = found["facts"]
    assert (facts["heads"], facts["kv_heads"], facts["head_dim"]) == PUBLISHED[name]
    assert facts["layers"] == LAYERS
    _, kv_heads, head_dim = PUBLISHED[name]
    per_token_and_layer = 2 * kv_heads * head_dim * BFLOAT16_BYTES
    end = PROMPT + OUTPUT - 1
    # a static cache is allocated at once, in its full length
    held = {"prefill": PROMPT if cache == "dynamic" else end, "decode": end}
    assert [part["part"] for part in found["parts"]] == list(held)
    for part in found["parts"]:
        assert part["status"] == "ok", part["error"]
        predicted = per_token_and_layer * held[part["part"]]
        assert part["kv_bytes_by_layer"] == pytest.approx([predicted] * LAYERS, rel=0.01)
        assert part["kv_bytes"] == sum(part["kv_bytes_by_layer"])
