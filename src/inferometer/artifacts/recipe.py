"""What identifies an artifact before it exists: its sha256, or the recipe that it is made by."""

from pathlib import Path
from typing import Any

from inferometer import digests, environments
from inferometer.artifacts.catalog import (
    DTYPE_BYTES,
    Catalog,
    ConvertedSource,
    FromGguf,
    Made,
    OpenVinoSource,
    QuantizedSource,
    Source,
    SyntheticSource,
)
from inferometer.errors import UserError

ENVIRONMENT = "transformers"
"""The stack in whose environment artifacts are made, and fetched from a hub."""
HOSTS = Path(__file__).parents[1] / "hosts"
HOST = HOSTS / "transformers_artifacts.py"
QUANTIZER = "quantize"
"""The environment that holds llama.cpp's quantizer, and reads the tensors of a GGUF."""
QUANTIZE_HOST = HOSTS / "gguf_quantize.py"
SHARD_BYTES = 10**9
"""Weights are written in files of at most this size, unless one tensor alone is larger."""
LIBRARY_BYTES = 5 * 10**8
"""Memory of torch and transformers themselves; 0.37 GB were seen."""


def maker(source: Source) -> tuple[str, Path]:
    """The environment and the host that make an artifact."""
    if isinstance(source, SyntheticSource | ConvertedSource):
        return ENVIRONMENT, HOST
    if isinstance(source, QuantizedSource):
        return QUANTIZER, QUANTIZE_HOST
    return "openvino", HOSTS / "openvino_artifacts.py"


def identity(name: str, catalog: Catalog, root: Path | None) -> str:
    """The catalog's sha256 of an artifact, or the digest of the recipe of one that is made here.

    `root` is the repository, whose pinned environments are part of every recipe.
    """
    artifact = catalog.artifact(name)
    if artifact.made:
        return digests.of_data(recipe(name, catalog, root))
    assert artifact.sha256 is not None  # the catalog refuses others
    return artifact.sha256


def recipe(name: str, catalog: Catalog, root: Path | None) -> dict[str, Any]:
    """Everything that decides the bytes of an artifact that is made here.

    The source and its seed, the architecture or the original's identity, the code that makes it
    and the environment that the code runs in.
    """
    source = catalog.artifact(name).source
    made_of: dict[str, Any]
    if isinstance(source, SyntheticSource):
        shape = catalog.shape(name, "config", "params", "vocabulary", "context")
        made_of = {"architecture": shape.huggingface(), "params": shape.params}
    elif isinstance(source, FromGguf):
        made_of = {"original": identity(source.original, catalog, root)}
    else:
        raise _no_recipe(name)
    environment, host = maker(source)
    return {
        "source": source.model_dump(mode="json", by_alias=True),
        **made_of,
        "shard_bytes": SHARD_BYTES,
        "code": digests.of_code(host, search=host.parents[2]),
        "environment": environments.lock_digest(required(root, name), environment),
    }


def required(root: Path | None, name: str) -> Path:
    """The repository's root; `UserError` when the caller has none."""
    if root is None:
        raise UserError(
            f"artifact {name}: comes by way of the environment {ENVIRONMENT!r} of a repository; "
            f"run `inferometer fetch {name}` at a repository's root"
        )
    return root


def needs(name: str, catalog: Catalog) -> tuple[int, int]:
    """Bytes of disk and of memory that making an artifact takes.

    Synthesis holds one shard (or the largest tensor, the embedding, where that is larger);
    conversion holds the model in float32 and the copy that is written; OpenVINO two copies more,
    and it writes a rounded one first; quantization holds the original and writes less.
    """
    source = catalog.artifact(name).source
    if not isinstance(source, Made):
        raise _no_recipe(name)
    if isinstance(source, QuantizedSource):
        original = catalog.size_bytes(source.original) or 0
        return original, 2 * original + LIBRARY_BYTES
    width = DTYPE_BYTES[source.dtype]
    shape = catalog.shape(name, "params", "vocabulary")
    weights = (shape.params or 0) * width
    if isinstance(source, SyntheticSource):
        embedding = (shape.vocabulary or 0) * shape.hidden * width
        held = min(weights, max(SHARD_BYTES, embedding))
    else:
        held = 2 * (shape.params or 0) * DTYPE_BYTES["float32"]
    if isinstance(source, OpenVinoSource):
        weights, held = 2 * weights, 2 * held
    return weights + weights // 50 + 10**7, held + LIBRARY_BYTES


def _no_recipe(name: str) -> UserError:
    return UserError(f"artifact {name}: is fetched, not made; it has no recipe")
