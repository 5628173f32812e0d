"""Make one model folder in Hugging Face format: synthesized, converted from GGUF, or downloaded.

Runs inside the environment of the stack `transformers` and imports only what is there and the
standard library. The job is one JSON argument; each line on standard output says how many bytes
of how many are done.
"""

import hashlib
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

SPOKEN = sys.stdout
"""Where progress goes; whatever a library prints goes to standard error."""
STD = 0.02
"""Standard deviation of synthesized weights: what these models are initialised with."""
CHUNK = 1 << 22
"""Values that are drawn at once."""


def say(**facts: object) -> None:
    """One line of progress for the process that started us."""
    print(json.dumps(facts), file=SPOKEN, flush=True)


def empty_model(config: dict, dtype: str) -> Any:
    """The architecture on torch's meta device: shapes and names, no memory."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(
            AutoConfig.for_model(**config), dtype=getattr(torch, dtype)
        )


def facts(config: dict) -> dict:
    """What the built architecture says of itself: its weights, and its cache after two tokens."""
    import torch

    model = empty_model(config, "float32")
    with torch.device("meta"), torch.inference_mode():
        tokens = torch.zeros((1, 2), dtype=torch.long)
        layers = model(tokens, use_cache=True).past_key_values.layers
    _, kv_heads, _, head_dim = layers[0].keys.shape
    return {
        "params": sum(tensor.numel() for tensor in model.parameters()),
        "layers": len(layers),
        "heads": model.config.num_attention_heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "hidden": model.get_input_embeddings().weight.shape[1],
        "vocabulary": model.get_input_embeddings().weight.shape[0],
        "context": model.config.max_position_embeddings,
    }


def synthesize(
    folder: Path, config: dict, params: int, dtype: str, seed: int, shard_bytes: int
) -> None:
    """Write seeded random weights shard by shard: no more than one shard is ever in memory.

    Matrices are uniform with standard deviation `STD` (made of integer bits and exact float32
    products, so every machine draws the same), norms are 1, biases 0. Each tensor has a stream of
    its own, so that neither its order nor its shard matters.
    """
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors.torch import save_file

    model = empty_model(config, dtype)
    tensors = dict(model.named_parameters())  # tied weights appear once, under their first name
    if (found := sum(tensor.numel() for tensor in tensors.values())) != params:
        raise ValueError(f"its configuration gives {found} parameters, the catalog says {params}")
    split = split_torch_state_dict_into_shards(tensors, max_shard_size=shard_bytes)
    total = sum(tensor.nbytes for tensor in tensors.values())
    done = 0
    for shard, names in split.filename_to_tensors.items():
        filled = {}
        for name in names:
            filled[name] = _drawn(tensors[name], name, seed)
            done += filled[name].nbytes
            say(done=done, of=total)
        save_file(filled, folder / shard, metadata={"format": "pt"})
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        text = json.dumps(index, indent=1, sort_keys=True) + "\n"
        (folder / "model.safetensors.index.json").write_text(text)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)


def _drawn(like: Any, name: str, seed: int) -> Any:
    import numpy
    import torch

    if like.dim() == 1:
        return torch.full(like.shape, 0.0 if name.endswith("bias") else 1.0, dtype=like.dtype)
    key = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    stream = numpy.random.Generator(numpy.random.PCG64(int.from_bytes(key)))
    made = torch.empty(like.shape, dtype=like.dtype)
    flat = made.view(-1)
    width = numpy.float32(STD * 12**0.5)
    for start in range(0, flat.numel(), CHUNK):
        part = flat[start : start + CHUNK]
        values = stream.random(part.numel(), dtype=numpy.float32)
        values -= numpy.float32(0.5)
        values *= width
        part.copy_(torch.from_numpy(values))
    return made


def convert(folder: Path, gguf: Path, dtype: str, shard_bytes: int) -> None:
    """Dequantize a GGUF file, weights and tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(
        **place, quantization_config=GgufConfig(dequantize=True), dtype=getattr(torch, dtype)
    )
    say(done=1, of=2)
    model.save_pretrained(folder, max_shard_size=shard_bytes)
    AutoTokenizer.from_pretrained(**place).save_pretrained(folder)
    say(done=2, of=2)


def download(folder: Path, repository: str, revision: str, files: list[str]) -> None:
    """Bring files of a model hub at a fixed revision; `HF_ENDPOINT` names another hub."""
    from huggingface_hub import hf_hub_download

    for number, name in enumerate(files):
        say(done=number, of=len(files))
        hf_hub_download(repository, name, revision=revision, local_dir=folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub's own notes
    say(done=len(files), of=len(files))


JOBS: dict[str, Callable[..., None]] = {
    "synthetic": synthesize,
    "converted": convert,
    "hub": download,
}


def main() -> int:
    """Do the job; an error is one line on standard error."""
    sys.stdout = sys.stderr
    job = json.loads(sys.argv[1])
    kind = job.pop("kind")
    try:
        if kind == "facts":
            say(**{name: facts(config) for name, config in job["configs"].items()})
            return 0
        paths = {key: Path(job[key]) for key in ("folder", "gguf") if key in job}
        JOBS[kind](**(job | paths))
    except Exception as error:
        first = (str(error).strip() or "no message").splitlines()[0]
        print(f"{type(error).__name__}: {first}", file=sys.stderr)
        return 1
    say(peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    return 0


if __name__ == "__main__":
    sys.exit(main())
