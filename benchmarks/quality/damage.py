"""Damage a GGUF file until its perplexity has risen by a factor: `damage.py JOB`.

Runs inside the environment `quantize`. Noise is added to the weights of some matrices, in
proportion to their own spread; how much is found by bisection. Prints what it did as JSON.
"""

import json
import math
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "src/inferometer/hosts"))
from llamacpp_worker import Model
from log_probs import LogProbs

DAMAGED = "ffn_down.weight"
STEPS = 14


def main() -> None:
    """Make the file and say what was done to it."""
    job = json.loads(sys.argv[1])
    source, target = Path(job["source"]), Path(job["target"])
    before = perplexity(source, job)
    low, high = math.log(1e-4), math.log(3.0)
    for _ in range(STEPS):
        middle = (low + high) / 2
        damage(source, target, math.exp(middle))
        factor = perplexity(target, job) / before
        if abs(factor / job["factor"] - 1) < job["tolerance"]:
            break
        low, high = (middle, high) if factor < job["factor"] else (low, middle)
    print(json.dumps({"noise_over_spread": math.exp(middle), "perplexity_factor": factor}))


def damage(source: Path, target: Path, scale: float) -> None:
    """Copy and add noise of `scale` times each damaged matrix' standard deviation."""
    shutil.copy2(source, target)
    rng = np.random.default_rng(0)
    for tensor in gguf.GGUFReader(target, "r+").tensors:
        if tensor.name.endswith(DAMAGED):
            data = tensor.data.astype(np.float32)
            tensor.data[:] = data + rng.normal(0, scale * data.std(), data.shape)


def perplexity(path: Path, job: dict) -> float:
    """Of the job's texts, all their tokens together."""
    model = Model({"model": str(path), **job["settings"]})
    asked = LogProbs(model.encode, model.logits, model.context)
    seen = [asked.of_text(text, None, None) for text in job["texts"]]
    return math.exp(sum(one["nll"] for one in seen) / sum(one["tokens"] for one in seen))


if __name__ == "__main__":
    main()
