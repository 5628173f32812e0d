"""The user's configuration: `config/config.yaml` and `--config key=value`, validated at once."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from inferometer.design import Depth, Sut, validated
from inferometer.errors import UserError

CONFIG_FILE = Path("config/config.yaml")
BENCHMARK_FILES = ("arc_challenge", "mmlu")
"""How the files of items in `quality.data_dir` begin: the names of `quality.benchmarks`."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LocalArtifact(_Section):
    """A model file that the user already has: where it is, and what it must be."""

    path: Path
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    architecture: str | None = None
    quantization: str = "unknown"
    licence: str = "see its source"


class ExperimentConfig(_Section):
    """What a user may add to one experiment."""

    optional_suts: list[str] = []
    suts: dict[str, Sut] = {}


class QualityConfig(_Section):
    """Where items of public benchmarks are.

    `data_dir` holds `mmlu*.jsonl` and `arc_challenge*.jsonl`, or one of them; relative to where the
    command runs. Without it the reports do not ask them.
    """

    data_dir: Path | None = None

    @field_validator("data_dir")
    @classmethod
    def _has_items(cls, path: Path | None) -> Path | None:
        if path is None:
            return None
        folder = path.expanduser()
        if not folder.is_dir():
            raise ValueError(f"{path} is no folder; name the one with the items, or leave it out")
        files = {name: sorted(folder.glob(f"{name}*.jsonl")) for name in BENCHMARK_FILES}
        if not any(files.values()):
            expected = " or ".join(f"{name}*.jsonl" for name in files)
            raise ValueError(f"{path} has no {expected}; docs/quality.md says what is in them")
        for name, found in files.items():
            if len(found) > 1:
                there = ", ".join(file.name for file in found)
                raise ValueError(f"{path} has {there}; leave one file {name}*.jsonl there")
        return folder


class Config(_Section):
    """Everything a user may change; see config/config.yaml for what each key does."""

    depth: Depth = "standard"
    machine: str = Field(default="auto", pattern=r"^[a-z0-9][a-z0-9.\-]*$")
    strict: bool = False
    artifacts: dict[str, LocalArtifact] = {}
    experiments: dict[str, ExperimentConfig] = {}
    quality: QualityConfig = QualityConfig()

    def experiment(self, name: str) -> ExperimentConfig:
        """The section of one experiment; empty when the user says nothing about it."""
        return self.experiments.get(name, ExperimentConfig())


def validate(content: dict[str, Any], *, known: list[str], where: str = str(CONFIG_FILE)) -> Config:
    """Check a merged configuration; `UserError` names each wrong key and its fix.

    `known` are the experiments of this repository.
    """
    config = validated(Config, content, where)
    for name in config.experiments:
        if name not in known:
            raise UserError(
                f"{where}: experiments.{name}: no such experiment; there are: {', '.join(known)}"
            )
    return config


def load(path: Path, *, known: list[str]) -> Config:
    """Read and check a configuration file."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise UserError(f"{path}: missing; copy it from the repository") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {error}") from error
    return validate(content, known=known, where=str(path))
