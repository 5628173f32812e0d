"""The catalog: which artifacts exist, what they are, where they come from."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from inferometer.config import LocalArtifact
from inferometer.design import validated
from inferometer.errors import UserError

CATALOG_FILE = Path(__file__).with_name("catalog.yaml")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Dtype = Literal["float32", "bfloat16", "float16"]
DTYPE_BYTES: dict[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Architecture(_Entry):
    """The numbers that decide a decoder's arithmetic; `context` is the longest it was made for.

    `params` counts every weight once (tied weights too). `config` holds what the Hugging Face
    configuration needs beyond the other fields, under its own names; `model_type` among them.
    """

    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    hidden: int = Field(gt=0)
    vocabulary: int | None = Field(default=None, gt=0)
    context: int | None = Field(default=None, gt=0)
    params: int | None = Field(default=None, gt=0)
    config: dict[str, Any] = {}
    source: str

    def huggingface(self) -> dict[str, Any]:
        """The whole configuration, under the names that all its classes in transformers take."""
        return {
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "hidden_size": self.hidden,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.context,
            **self.config,
        }


class PackageSource(_Entry):
    """Files inside wheels of the Python package index; several are joined in order."""

    kind: Literal["package"]
    requirements: list[str] = Field(min_length=1)
    members: list[str] = Field(min_length=1)


class HubSource(_Entry):
    """Files of a model hub at a fixed revision: one file, or several as a folder."""

    kind: Literal["hub"]
    repository: str
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    files: list[str] = Field(min_length=1)


class LocalSource(_Entry):
    """A file or folder that the user already has."""

    kind: Literal["local"]
    path: Path


class ConvertedSource(_Entry):
    """A GGUF artifact of this catalog, dequantized into a Hugging Face folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)

    kind: Literal["converted"]
    original: str = Field(alias="from")
    dtype: Dtype


class DequantizedSource(_Entry):
    """A GGUF artifact of this catalog as a GGUF of plain floats: no matrix is quantized."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)

    kind: Literal["dequantized"]
    original: str = Field(alias="from")
    dtype: Literal["float32", "float16"]


class OpenVinoSource(_Entry):
    """A GGUF artifact of this catalog as a folder that OpenVINO reads, its weights exact."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)

    kind: Literal["openvino"]
    original: str = Field(alias="from")
    dtype: Literal["float32"]


class SyntheticSource(_Entry):
    """Seeded random weights in an exact architecture: for speed and memory, never for quality."""

    kind: Literal["synthetic"]
    seed: int = Field(ge=0)
    dtype: Dtype


class QuantizedSource(_Entry):
    """A GGUF of floats in this catalog, quantized by llama.cpp's own quantizer to a level."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)

    kind: Literal["quantized"]
    original: str = Field(alias="from")
    level: Literal["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_S", "Q2_K"]


FromGguf = ConvertedSource | DequantizedSource | OpenVinoSource | QuantizedSource
Made = FromGguf | SyntheticSource
Source = Annotated[
    PackageSource | HubSource | LocalSource | Made,
    Field(discriminator="kind"),
]


class Artifact(_Entry):
    """A model on disk: architecture + weights + quantization + sha256.

    `sha256` is of the file, or of a folder's sorted (name, sha256). Artifacts that are made here
    may leave it out: their recipe identifies them.
    """

    title: str
    architecture: str | None
    quantization: str
    licence: str
    sha256: Sha256 | None = None
    bytes: int | None = None
    source: Source

    @model_validator(mode="after")
    def _identified(self) -> "Artifact":
        if self.sha256 is None and not self.made:
            raise ValueError(f"sha256: required for a source of kind {self.source.kind}")
        return self

    @property
    def made(self) -> bool:
        """Whether it is made on the machine instead of fetched."""
        return isinstance(self.source, Made)

    @property
    def performance_only(self) -> bool:
        """Whether quality experiments must refuse it, because its weights mean nothing."""
        return self.source.kind == "synthetic"


class Catalog(_Entry):
    """All known architectures and artifacts."""

    schema_version: Literal[1]
    architectures: dict[str, Architecture]
    artifacts: dict[str, Artifact]

    def artifact(self, name: str) -> Artifact:
        """One artifact; `UserError` lists the known names."""
        if name not in self.artifacts:
            raise UserError(
                f"artifact {name!r} is not in the catalog; it has: {', '.join(self.artifacts)}. "
                "Add it to the catalog, or a file of your own under `artifacts:` in "
                "config/config.yaml"
            )
        return self.artifacts[name]

    def shape(self, name: str, *needed: str) -> Architecture:
        """The architecture of an artifact.

        Raises `UserError` naming the key when it has none, when the catalog does not know it, or
        when it leaves out one of the facts `needed` (`params`, `context`, `config`, ...).
        """
        called = self.artifact(name).architecture
        if called is None:
            raise UserError(
                f"artifact {name}: its layers, heads and KV heads are not known; name its "
                f"architecture under artifacts.{name}.architecture, one of: "
                f"{', '.join(self.architectures)}"
            )
        if called not in self.architectures:
            raise UserError(
                f"artifact {name}: architecture {called!r} is not in the catalog; it has: "
                f"{', '.join(self.architectures)}. Mend artifacts.{name}.architecture"
            )
        found = self.architectures[called]
        for key in needed:
            if not getattr(found, key):
                raise UserError(
                    f"artifact {name}: architectures.{called}.{key} is missing in the catalog; add "
                    "it from the model's config.json, with its source"
                )
        return found

    def size_bytes(self, name: str) -> int | None:
        """Size on disk: what the catalog says, else weights x width; `None` when neither is known.

        The estimate leaves out headers, configuration and tokenizer: under 1 % from 500 MB on. A
        quantized file has none: its width differs from tensor to tensor.
        """
        artifact = self.artifact(name)
        source = artifact.source
        if artifact.bytes or isinstance(source, QuantizedSource) or not isinstance(source, Made):
            return artifact.bytes
        params = self.shape(name, "params").params
        return params * DTYPE_BYTES[source.dtype] if params else None


@cache
def shipped() -> Catalog:
    """The catalog that ships with the package."""
    content = yaml.safe_load(CATALOG_FILE.read_text(encoding="utf-8"))
    return validated(Catalog, content, CATALOG_FILE.name)


def with_local(local: dict[str, LocalArtifact]) -> Catalog:
    """The shipped catalog and the user's own files, which win where names are equal."""
    base = shipped()
    own = {
        name: Artifact(
            title=f"{name} (local file)",
            architecture=entry.architecture,
            quantization=entry.quantization,
            licence=entry.licence,
            sha256=entry.sha256,
            source=LocalSource(kind="local", path=entry.path),
        )
        for name, entry in local.items()
    }
    return base.model_copy(update={"artifacts": {**base.artifacts, **own}})
