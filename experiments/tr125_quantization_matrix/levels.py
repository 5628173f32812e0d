"""TR125: the levels of each model, and which SUTs measured them."""

from dataclasses import dataclass, field

import pandas as pd

from inferometer.analysis import Ledger, Where
from inferometer.design import Design
from inferometer.quality import entries
from inferometer.quantization import BASELINE, LEVELS, level_name


@dataclass
class Level:
    """One level of a model: the SUT that served it, and the one that looked inside."""

    model: str
    level: str
    served: str | None = None
    inside: str | None = None

    @property
    def name(self) -> str:
        """`<model>.<level>`."""
        return level_name(self.model, self.level)


@dataclass
class Model:
    """The levels of a model, the baseline apart; `None` without one."""

    name: str
    baseline: Level | None = None
    levels: list[Level] = field(default_factory=list)

    @property
    def every(self) -> list[Level]:
        """The baseline first."""
        return [*([self.baseline] if self.baseline else []), *self.levels]


def of(observations: pd.DataFrame, design: Design) -> dict[str, Model]:
    """The measured models by name; levels in the order of the design."""
    there = set(observations["sut"])
    found: dict[str, Level] = {}
    for name, sut in design.suts.items():
        model, dot, level = (sut.label or name).rpartition(".")
        if name not in there or not dot:
            continue
        one = found.setdefault(f"{model}.{level}", Level(model, level))
        if sut.stack == "llamacpp_inprocess":
            one.inside = name
        else:
            one.served = name
    models: dict[str, Model] = {}
    for one in found.values():
        model = models.setdefault(one.model, Model(one.model))
        if one.level == BASELINE:
            model.baseline = one
        else:
            model.levels.append(one)
    return models


def notes(ledger: Ledger, found: dict[str, Model]) -> list[str]:
    """Levels that are one under two names, and models without a baseline."""
    said = [
        f"`{model.name}` has no baseline here: its levels are compared with nothing."
        for model in found.values()
        if model.baseline is None
    ]
    for model in found.values():
        for one in model.levels:
            name = f"{one.name}.coincides"
            same = ledger.findings[name].value if name in ledger.findings else None
            if same:
                said.append(f"`{one.name}` has the same type in every tensor as `{same}`.")
    lost = [
        level for model in found.values() for level in LEVELS[1:] if level not in _made(model)
    ]
    if lost:
        said.append(f"Levels without measurements here: `{', '.join(dict.fromkeys(lost))}`.")
    return said


def _made(model: Model) -> set[str]:
    return {one.level for one in model.levels}


def rows(ledger: Ledger, where: Where) -> pd.DataFrame:
    """The rows of valid cells that `where` selects."""
    return entries.selected(ledger, where)
