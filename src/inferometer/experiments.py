"""Experiments: each a folder with its design, how to measure, how to analyse, what to report."""

import importlib.util
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from inferometer import design as designs
from inferometer import digests
from inferometer.config import Config
from inferometer.design import Depth, Design
from inferometer.errors import UserError

SESSION = re.compile(r"^\d{2,}$")
SOURCE = Path(__file__).parents[1]
"""The folder that holds the package `inferometer`."""


@dataclass(frozen=True)
class Experiment:
    """One experiment of a repository; `design` includes the SUTs of the user's configuration."""

    id: str
    folder: Path
    design: Design

    def results(self, root: Path, machine: str, depth: str) -> Path:
        """`results/<machine>/<id>`; depths other than standard have a suffix of their own."""
        return root / "results" / machine / results_name(self.id, depth)

    def raw(self, root: Path, machine: str, depth: Depth, sut: str, block: int) -> Path:
        """The raw file of one session."""
        return self.results(root, machine, depth) / "raw" / sut / f"{block:02d}.jsonl"

    def step(self, name: str) -> ModuleType:
        """Import `measure.py` or `analyse.py` of this experiment."""
        path = self.folder / f"{name}.py"
        qualified = f"inferometer_experiment_{self.id}_{name}"
        if qualified in sys.modules and sys.modules[qualified].__file__ == str(path):
            return sys.modules[qualified]
        spec = importlib.util.spec_from_file_location(qualified, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise UserError(f"{path}: missing; an experiment has measure.py and analyse.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[qualified] = module
        spec.loader.exec_module(module)
        return module

    def code_digest(self, step: str, *modules: str, leave_out: Sequence[str] = ()) -> str:
        """Digest of the code of a step: its file here, library modules, and what they import.

        `leave_out` are modules of the package that are not followed.
        """
        own = [self.folder / f"{step}.py"]
        if step == "analyse":  # and the modules that a long analysis is divided into
            own = sorted(p for p in self.folder.glob("*.py") if p.name != "measure.py")
        library = [SOURCE.joinpath(*name.split(".")).with_suffix(".py") for name in modules]
        return digests.of_code(
            *(p for p in own if p.is_file()), *library, search=SOURCE, leave_out=leave_out
        )


def results_name(experiment: str, depth: str) -> str:
    """Folder name of an experiment's results at a depth: `tr129`, `tr129-quick`."""
    return experiment if depth == "standard" else f"{experiment}-{depth}"


def parse_results_name(name: str) -> tuple[str, str]:
    """(experiment, depth) of a results folder's name."""
    experiment, _, depth = name.partition("-")
    return experiment, depth or "standard"


def names(root: Path) -> list[str]:
    """Ids of the experiments of a repository, from the names of their folders."""
    folders = (root / "experiments").glob(f"*/{designs.DESIGN_FILE}")
    return sorted(_id_of(path.parent) for path in folders)


def find(root: Path, config: Config | None = None) -> dict[str, Experiment]:
    """All experiments of a repository, by id; `UserError` names the first broken design."""
    found = {}
    for path in sorted((root / "experiments").glob(f"*/{designs.DESIGN_FILE}")):
        name = _id_of(path.parent)
        extra = (
            {k: v.model_dump(mode="json") for k, v in config.experiment(name).suts.items()}
            if config
            else None
        )
        design = designs.load(path.parent, extra)
        if design.experiment != name:
            raise UserError(
                f"{path}: experiment: {design.experiment!r} does not fit its folder; use {name!r}"
            )
        found[design.experiment] = Experiment(design.experiment, path.parent, design)
    return found


def _id_of(folder: Path) -> str:
    """`tr129` of `tr129_agent_scaling`; a folder without such a number is its own id."""
    first = folder.name.partition("_")[0]
    return first if re.fullmatch(r"tr\d+", first) else folder.name
