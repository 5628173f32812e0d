"""TR125: the levels of each model, and which SUTs measured them."""

from dataclasses import dataclass, field

import pandas as pd

from inferometer.analysis import Ledger
from inferometer.design import Design
from inferometer.quantization import BASELINE, LEVELS, level_name, required


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

    @property
    def suts(self) -> list[str]:
        """Those of its SUTs that were measured."""
        return [sut for sut in (self.served, self.inside) if sut]


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
    """The measured models by name; levels in the order of the design.

    Where two SUTs of one kind have the same label the first counts; `notes` says so.
    """
    there = set(observations["sut"])
    models: dict[str, Model] = {}
    levels: dict[str, Level] = {}
    for sut, (name, level) in _labels(design).items():
        if sut not in there:
            continue
        one = levels.get(level_name(name, level))
        if one is None:
            one = levels[level_name(name, level)] = Level(name, level)
            model = models.setdefault(name, Model(name))
            if level == BASELINE:
                model.baseline = one
            else:
                model.levels.append(one)
        if design.suts[sut].stack == "llamacpp_inprocess":
            one.inside = one.inside or sut
        else:
            one.served = one.served or sut
    return models


def enter_missing(ledger: Ledger, model: Model, design: Design) -> None:
    """Enter what the tree rests on and was not measured, without a value and with the reason."""
    there = {one.level for one in model.every}
    for name in required(model.name):
        if name in ledger.findings:
            continue
        level = name.removeprefix(f"{model.name}.").partition(".")[0]
        unseen = level in LEVELS and level not in there
        reason = f"{level.upper()} was not measured here" if unseen else "its file was not read"
        if not unseen and name.endswith(".difference"):
            reason = "the baseline was not measured here"
        wanted = [sut for sut, label in _labels(design).items() if label == (model.name, level)]
        ledger.add(
            name,
            f"not measured: {name}",
            None,
            n=0,
            where={"sut": wanted if unseen else [sut for one in model.every for sut in one.suts]},
            estimator="none: there is nothing to estimate it from",
            reason=reason,
        )


def notes(ledger: Ledger, found: dict[str, Model], design: Design) -> list[str]:
    """What a reader of the tables would miss: levels and SUTs that are not in them, and why."""
    said = []
    for model in found.values():
        if model.baseline is None:
            said.append(
                f"`{model.name}` has no baseline here: its levels have nothing beside them."
            )
        there = [one.level for one in model.levels]
        if lost := [level for level in LEVELS[1:] if level not in there]:
            said.append(f"`{model.name}` has levels without measurements: `{', '.join(lost)}`.")
        for one in model.levels:
            name = f"{one.name}.coincides"
            if name in ledger.findings:
                same = ledger.findings[name].value
                said.append(f"`{one.name}` has the same type in every tensor as `{same}`.")
        said += _other_references(model, design)
    counted = {sut for model in found.values() for one in model.every for sut in one.suts}
    for sut in sorted(set(ledger.observations["sut"]) - counted):
        label = design.suts[sut].label if sut in design.suts else ""
        said.append(
            f"`{sut}` is in no table: `{label}` is another SUT's label, or no `model.level`."
        )
    return said


def _other_references(model: Model, design: Design) -> list[str]:
    """Levels whose companion is not the baseline of the table that they are in."""
    inside = model.baseline.inside if model.baseline else None
    if inside is None:
        return []
    base = design.suts[inside].artifact
    beside = {one.name: design.suts[one.inside].companion for one in model.levels if one.inside}
    return [
        f"`{name}` is read token by token beside `{other.artifact}`, not its baseline `{base}`."
        for name, other in beside.items()
        if other is not None and other.artifact != base
    ]


def _labels(design: Design) -> dict[str, tuple[str, str]]:
    """SUT -> (model, level), of those whose label (or name) is `<model>.<level>`."""
    parts = {name: (sut.label or name).rpartition(".") for name, sut in design.suts.items()}
    return {
        name: (model, level.lower()) for name, (model, _, level) in parts.items() if model and level
    }
