"""Experiments: each a folder with its design, how to measure, how to analyse, what to report."""

import importlib.util
import re
import sys
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

    def code_digest(self, step: str, *modules: str) -> str:
        """Digest of the code of a step: its file here, library modules, and what they import."""
        library = [SOURCE.joinpath(*name.split(".")).with_suffix(".py") for name in modules]
        own = self.folder / f"{step}.py"
        return digests.of_code(*([own] if own.is_file() else []), *library, search=SOURCE)


def results_name(experiment: str, depth: str) -> str:
    """Folder name of an experiment's results at a depth: `tr129`, `tr129-quick`."""
    return experiment if depth == "standard" else f"{experiment}-{depth}"


def parse_results_name(name: str) -> tuple[str, str]:
    """(experiment, depth) of a results folder's name."""
    experiment, _, depth = name.partition("-")
    return experiment, depth or "standard"


def find(root: Path, config: Config | None = None) -> dict[str, Experiment]:
    """All experiments of a repository, by id; `UserError` names the first broken design."""
    found = {}
    for path in sorted((root / "experiments").glob(f"*/{designs.DESIGN_FILE}")):
        name = path.parent.name.partition("_")[0]
        extra = (
            {k: v.model_dump(mode="json") for k, v in config.experiment(name).suts.items()}
            if config
            else None
        )
        design = designs.load(path.parent, extra)
        if design.experiment in found:
            raise UserError(f"{path}: experiment {design.experiment!r} is declared twice")
        found[design.experiment] = Experiment(design.experiment, path.parent, design)
    return found


def get(root: Path, name: str, config: Config | None = None) -> Experiment:
    """One experiment by id; `UserError` lists the ones that exist."""
    found = find(root, config)
    if name not in found:
        raise UserError(
            f"{name}: no such experiment under {root / 'experiments'}; "
            f"there are: {', '.join(found) or 'none'}"
        )
    return found[name]
