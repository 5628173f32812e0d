"""What every stage needs from the repository it works in: configuration and experiments."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferometer import config as configuration
from inferometer import experiments
from inferometer.artifacts.catalog import Catalog, with_local
from inferometer.config import Config
from inferometer.errors import UserError
from inferometer.experiments import Experiment


@dataclass(frozen=True)
class Repository:
    """A checkout of the project: its configuration, experiments and catalog."""

    root: Path
    config: Config
    experiments: dict[str, Experiment]

    @property
    def catalog(self) -> Catalog:
        """The shipped catalog with the user's own files."""
        return with_local(self.config.artifacts)

    def experiment(self, name: str) -> Experiment:
        """One experiment; `UserError` lists those that exist."""
        if name not in self.experiments:
            raise UserError(
                f"{name}: no such experiment under {self.root / 'experiments'}; "
                f"there are: {', '.join(self.experiments) or 'none'}"
            )
        return self.experiments[name]

    def suts(self, name: str) -> list[str]:
        """The SUTs of an experiment that this configuration measures."""
        return self.experiment(name).design.selected_suts(
            self.config.experiment(name).optional_suts
        )


def opened(root: Path, content: dict[str, Any] | None = None) -> Repository:
    """Open the checkout at `root`; `content` is a configuration merged by Snakemake already.

    Raises `UserError` naming the wrong key of configuration or design.
    """
    known = experiments.names(root)
    if not known:
        raise UserError(f"{root.resolve()}: no experiments/ here; run from the repository's root")
    if content is None:
        config = configuration.load(root / configuration.CONFIG_FILE, known=known)
    else:
        config = configuration.validate(content, known=known)
    return Repository(root, config, experiments.find(root, config))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every stage shares."""
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: here)")
    parser.add_argument(
        "--overrides",
        type=json.loads,
        default={},
        metavar="JSON",
        help="top-level keys that replace those of config/config.yaml, as one JSON object",
    )


def chosen(args: argparse.Namespace) -> Repository:
    """Open the repository that the shared options name."""
    path = args.root / configuration.CONFIG_FILE
    stored = configuration.load(path, known=experiments.names(args.root))
    return opened(args.root, {**stored.model_dump(mode="json"), **args.overrides})
