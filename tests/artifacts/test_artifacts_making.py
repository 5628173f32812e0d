"""Artifacts that are really made, in the environment of the stack `transformers`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from artifacts_tiny import TINY, tiny

from inferometer.artifacts import catalog, fetch
from inferometer.artifacts.folder import MADE
from inferometer.artifacts.recipe import HOST
from inferometer.errors import UserError

FACTS = ("params", "layers", "heads", "kv_heads", "head_dim", "hidden", "vocabulary", "context")
FORWARD = """
import json, sys, torch
from transformers import AutoModelForCausalLM
seen = {}
for dtype in ("float32", "bfloat16"):
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=getattr(torch, dtype))
    with torch.inference_mode():
        logits = model(torch.arange(int(sys.argv[2])).reshape(1, -1)).logits.float()
    weights = {name: value.float() for name, value in model.named_parameters()}
    seen[dtype] = {
        "finite": bool(torch.isfinite(logits).all()),
        "spread": float(logits.std()),
        "weight_std": float(weights["model.embed_tokens.weight"].std()),
        "norms": sorted({float(v) for n, w in weights.items() if "norm" in n for v in w}),
        "tied": model.lm_head.weight is model.model.embed_tokens.weight,
    }
print(json.dumps(seen))
"""


def run(python, *arguments):
    done = subprocess.run([str(python), *arguments], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-1000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_every_architecture_built_in_transformers_is_what_the_catalog_says(python):
    shapes = {**catalog.shipped().architectures, "tiny": TINY}
    configs = {name: shape.huggingface() for name, shape in shapes.items()}
    seen = run(python, str(HOST), json.dumps({"kind": "facts", "configs": configs}))
    assert seen == {
        name: {key: getattr(shape, key) for key in FACTS} for name, shape in shapes.items()
    }


def test_the_same_recipe_makes_the_same_bytes(root, cache, made_once):
    again = fetch.fetch("tiny16", tiny(), root)
    assert again.performance_only
    assert again.path != made_once.path
    assert again.sha256 == made_once.sha256
    first, second = (json.loads((found.path / MADE).read_text()) for found in (made_once, again))
    assert first["files"] == second["files"]
    assert first["recipe_sha256"][:16] == again.path.parent.name


@pytest.mark.slow
def test_forward_passes_stay_finite_and_weights_are_as_initialised(python, made_once):
    seen = run(python, "-c", FORWARD, str(made_once.path), "40")
    for facts in seen.values():
        assert facts["finite"]
        assert facts["tied"]
        assert facts["norms"] == [1.0]
        assert facts["spread"] > 0.01
        assert facts["weight_std"] == pytest.approx(0.02, rel=0.05)


def test_a_made_folder_is_checked_each_time_it_is_used(root, cache, made_once):
    path = fetch.cached_path("tiny16", tiny(), root)
    shutil.copytree(made_once.path, path)
    assert fetch.fetch("tiny16", tiny(), root).sha256 == made_once.sha256
    with (path / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, os.SEEK_END)
        weights.write(b"\x55")
    with pytest.raises(UserError, match=rf"model\.safetensors in {path} differ.*delete {path}"):
        fetch.fetch("tiny16", tiny(), root)
    (path / MADE).unlink()
    with pytest.raises(UserError, match=rf"made\.json cannot be read; delete {path}"):
        fetch.fetch("tiny16", tiny(), root)


@pytest.mark.slow
def test_a_wrong_number_of_parameters_makes_nothing(root, cache):
    wrong = tiny(params=(TINY.params or 0) + 1)
    with pytest.raises(UserError, match=f"gives {TINY.params} parameters, the catalog says"):
        fetch.fetch("tiny", wrong, root)
    assert not fetch.cached_path("tiny", wrong, root).exists()
    assert not list(cache.rglob("*.making"))


@pytest.mark.slow
def test_a_killed_making_leaves_no_process_and_nothing_that_is_taken_for_an_artifact(root, cache):
    code = (
        "from pathlib import Path; from inferometer.artifacts import catalog, fetch; import sys; "
        "fetch.fetch('gpt2-synthetic', catalog.shipped(), Path(sys.argv[1]))"
    )
    target = fetch.cached_path("gpt2-synthetic", catalog.shipped(), root)
    draft = target.with_name(f".{target.name}.making")
    with subprocess.Popen([sys.executable, "-c", code, str(root)]) as maker:
        limit = time.monotonic() + 60
        while not draft.exists() and time.monotonic() < limit:
            time.sleep(0.05)
        time.sleep(2)
        family = psutil.Process(maker.pid).children(recursive=True)
        maker.send_signal(signal.SIGKILL)
    assert family
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert draft.exists()
    assert not target.exists()
    (draft / "model.safetensors").write_bytes(b"half of it")
    found = fetch.fetch("gpt2-synthetic", catalog.shipped(), root)
    assert found.bytes > 497_759_232
    assert not draft.exists()


@pytest.mark.slow
def test_the_converted_model_has_the_originals_weights_and_speaks(root, python):
    found = fetch.fetch("smollm2-135m-f32", catalog.shipped(), root)
    code = (
        "import json, sys; from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; "
        "m = M.from_pretrained(sys.argv[1]); t = T.from_pretrained(sys.argv[1]); "
        "p = t('The capital of France is', return_tensors='pt'); "
        "o = m.generate(**p, max_new_tokens=3, do_sample=False); "
        "print(json.dumps([t.decode(o[0]), str(m.dtype), m.num_parameters()]))"
    )
    text, dtype, params = run(python, "-c", code, str(found.path))
    assert "Paris" in text
    assert dtype == "torch.float32"
    assert params == catalog.shipped().architectures["smollm2-135m"].params
