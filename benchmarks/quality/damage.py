"""Damage a GGUF file until its perplexity has risen by a factor: `damage.py JOB`.

Runs inside the environment `quantize`. Noise is added to the weights of some matrices, in
proportion to their own spread; how much is found by trying. Prints what it did as JSON.
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
FLOATS = (np.float16, np.float32)
LEAST, MOST = 1e-3, 3.0
"""Noise over the spread of the weights: between these it is looked for."""
STEPS = 14


def main() -> None:
    """Make the file and say what was done to it."""
    job = json.loads(sys.argv[1])
    source, target = Path(job["source"]), Path(job["target"])
    before = perplexity(source, job)
    low, high = LEAST, MOST
    scale = math.sqrt(low * high)
    for _ in range(STEPS):
        changed = damage(source, target, scale)
        factor = perplexity(target, job) / before
        if abs(factor / job["factor"] - 1) < job["tolerance"]:
            break
        low, high = (scale, high) if factor < job["factor"] else (low, scale)
        scale = nearer(scale, factor, job["factor"], low, high)
    else:
        sys.exit(f"no noise raises the perplexity by {job['factor']}: {factor:.4g} is the nearest")
    said = {"noise_over_spread": scale, "perplexity_factor": factor}
    print(json.dumps(said | {"perplexity": before, "tensors": changed}))


def nearer(scale: float, seen: float, wanted: float, low: float, high: float) -> float:
    """A better guess between two bounds: the rise of the loss goes with the square of the noise."""
    guess = scale * math.sqrt(math.log(wanted) / math.log(seen)) if seen > 1 else 0.0
    return guess if low < guess < high else math.sqrt(low * high)


def damage(source: Path, target: Path, scale: float) -> int:
    """Copy and add noise of `scale` times each damaged matrix' standard deviation.

    Returns how many matrices were changed; stops the program where they are not plain floats.
    """
    shutil.copyfile(source, target)
    rng = np.random.default_rng(0)
    changed = 0
    for tensor in gguf.GGUFReader(target, "r+").tensors:
        if tensor.name.endswith(DAMAGED):
            if tensor.data.dtype not in FLOATS:
                sys.exit(f"{source}: {tensor.name} is {tensor.tensor_type.name}, no plain floats")
            data = tensor.data.astype(np.float32)
            tensor.data[:] = data + rng.normal(0, scale * data.std(), data.shape)
            changed += 1
    return changed


def perplexity(path: Path, job: dict) -> float:
    """Of the job's texts, all their tokens together."""
    model = Model({"model": str(path), **job["settings"]})
    asked = LogProbs(model.encode, model.logits, model.context)
    seen = [asked.of_text(text, None, None) for text in job["texts"]]
    return math.exp(sum(one["nll"] for one in seen) / sum(one["tokens"] for one in seen))


if __name__ == "__main__":
    main()
