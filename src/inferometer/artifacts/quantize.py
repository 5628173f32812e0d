"""What is inside a GGUF artifact: the type of each tensor, true bits per weight, fallbacks."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from inferometer import digests, environments
from inferometer.artifacts.catalog import Catalog
from inferometer.artifacts.fetch import fetch
from inferometer.artifacts.recipe import QUANTIZE_HOST, QUANTIZER
from inferometer.errors import UserError

FALLBACKS = "fallbacks.json"


@dataclass(frozen=True)
class Tensor:
    """One tensor of a GGUF. `wanted` is the type of its level where its width did not allow it."""

    name: str
    type: str
    weights: int
    bytes: int
    wanted: str | None = None


@dataclass(frozen=True)
class QuantizationFacts:
    """One GGUF artifact as it is in its file; `sha256` and `file_bytes` are of the file."""

    artifact: str
    quantization: str
    sha256: str
    file_bytes: int
    tensors: tuple[Tensor, ...]

    @property
    def weights(self) -> int:
        """Values in all tensors."""
        return sum(tensor.weights for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits of all tensors by their weights: scales and unquantized tensors count, metadata
        and tokenizer do not."""
        return 8 * sum(tensor.bytes for tensor in self.tensors) / self.weights

    @property
    def weights_by_type(self) -> dict[str, int]:
        """Type -> how many weights have it, the most frequent first."""
        counted: Counter[str] = Counter()
        for tensor in self.tensors:
            counted[tensor.type] += tensor.weights
        return dict(counted.most_common())

    @property
    def fallbacks(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """(type of the level, type given instead) -> the tensors concerned."""
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for each in self.tensors:
            if each.wanted is not None:
                pair = (each.wanted, each.type)
                found[pair] = (*found.get(pair, ()), each.name)
        return found


def facts(name: str, catalog: Catalog, root: Path) -> QuantizationFacts:
    """Read a GGUF artifact, fetched or made where the cache lacks it.

    Raises `UserError` when it cannot be had or is no GGUF file.
    """
    path = fetch(name, catalog, root).path
    return facts_of_file(name, path, root, catalog.artifact(name).quantization)


def facts_of_file(name: str, path: Path, root: Path, quantization: str) -> QuantizationFacts:
    """The same of a file that is there; `UserError` when it is no GGUF file."""
    if not path.is_file():
        raise UserError(f"artifact {name}: {path} is a folder; choose an artifact in GGUF format")
    environment = environments.ensure(root, QUANTIZER)
    wanted: dict[str, list[str]] = {}
    if path.with_name(FALLBACKS).is_file():
        wanted = json.loads(path.with_name(FALLBACKS).read_text())
    return QuantizationFacts(
        artifact=name,
        quantization=quantization,
        sha256=digests.of_file(path),
        file_bytes=path.stat().st_size,
        tensors=tuple(
            Tensor(**tensor, wanted=wanted.get(tensor["name"], [None])[0])
            for tensor in _tensors(name, path, environment.python)
        ),
    )


def _tensors(name: str, path: Path, python: Path) -> list[dict]:
    job = json.dumps({"kind": "tensors", "gguf": str(path)})
    done = subprocess.run([str(python), str(QUANTIZE_HOST), job], capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"artifact {name}: {path} cannot be read as GGUF ({done.stderr.strip()[-300:]}); "
            "choose an artifact in that format"
        )
    return json.loads(done.stdout)["tensors"]


def coinciding(levels: Iterable[QuantizationFacts]) -> list[tuple[str, ...]]:
    """Artifacts that are one level under several names: every tensor has the same type."""
    alike: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for each in levels:
        types = tuple(sorted((tensor.name, tensor.type) for tensor in each.tensors))
        alike.setdefault(types, []).append(each.artifact)
    return [tuple(names) for names in alike.values() if len(names) > 1]
