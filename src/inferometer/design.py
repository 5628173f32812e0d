"""The design of an experiment: load and validate `design.yaml`, expand cells, order blocks.

The design is the pre-registration: `Design.digest` goes into every manifest.
"""

import random
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_serializer,
    model_validator,
)

from inferometer import digests
from inferometer.errors import UserError

Depth = Literal["quick", "standard", "full"]
Level = StrictInt | StrictFloat | StrictStr
Model = TypeVar("Model", bound=BaseModel)
DESIGN_FILE = "design.yaml"
MEASURED = ("suts", "factors", "seed", "noise", "warmup", "gates")
"""Sections that change what is measured; the others change only what is said about it."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Boundary(_Section):
    """What a timed region includes and excludes."""

    includes: list[str]
    excludes: list[str]
    clock: str
    tokens: str


class Sut(_Section):
    """A system under test: stack + artifact + settings.

    `companion` is a second server that is loaded at the same time (mixed models);
    `optional` SUTs are measured only when the configuration names them. `like` is for SUTs that a
    configuration adds: the SUT of the design whose phases they are measured in.
    """

    stack: str
    artifact: str | None = None
    settings: dict[str, Any] = {}
    optional: bool = False
    companion: "Sut | None" = None
    label: str = ""
    like: str | None = None

    @model_serializer(mode="wrap")
    def _without_unused(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_empty(write(self), "like")


class Factor(_Section):
    """A factor: its unit, what it means, and the smallest level that makes sense."""

    title: str
    unit: str = ""
    kind: Literal["whole", "real", "name"] = "whole"
    minimum: float = 0

    def reject(self, level: Level) -> str | None:
        """Why `level` is impossible, or `None`."""
        if self.kind == "name":
            return None if isinstance(level, str) else "use a name"
        numbers = "whole numbers" if self.kind == "whole" else "numbers"
        rule = f"use {numbers} from {self.minimum:g}"
        wanted = int if self.kind == "whole" else (int, float)
        if isinstance(level, bool) or not isinstance(level, wanted):
            return rule
        return rule if level < self.minimum else None


class DepthPlan(_Section):
    """What one depth measures: blocks, phases (factor levels to cross) and effort per cell.

    `only` names, for a phase, the SUTs that measure it; all of them where it says nothing.
    `first` names phases that each block measures before the others, which need their results.
    `once` names phases that only the first block measures: those whose units are items, which
    another block would only repeat.
    """

    blocks: int = Field(ge=1)
    phases: dict[str, dict[str, list[Level]]]
    effort: dict[str, float | int]
    only: dict[str, list[str]] = {}
    first: list[str] = []
    once: list[str] = []

    @model_serializer(mode="wrap")
    def _without_unused(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_empty(write(self), "only", "first", "once")


class NoiseRule(_Section):
    """When a block counts as noisy, and how often it is repeated."""

    steal_fraction: float = Field(gt=0)
    foreign_cpu_fraction: float = Field(gt=0)
    spin_jitter: float = Field(gt=0)
    repeats: int = Field(ge=0)


class WarmupRule(_Section):
    """A fixed number of warm-up requests before the first cell, declared before the data."""

    requests: int = Field(ge=0)


class Gates(_Section):
    """Limits beyond which a cell is invalid."""

    failed_fraction: float = Field(ge=0, le=1)
    client_lag_p99_s: float = Field(gt=0)
    think_overrun_p99_s: float = Field(gt=0)


class Hypothesis(_Section):
    """A statement declared before the data, and the test that decides it.

    `test` names a function of the experiment's analysis; `margin` is an equivalence margin as a
    ratio, `low` and `high` are the bounds that the statement speaks of.
    """

    statement: str
    published: str | None = None
    test: str
    family: str
    sut: str | None = None
    alpha: float = Field(default=0.05, gt=0, lt=1)
    margin: float | None = Field(default=None, gt=0)
    low: float | None = None
    high: float | None = None


class Cell(_Section):
    """One combination of factor levels within a phase."""

    phase: str
    levels: dict[str, Level]

    @property
    def label(self) -> str:
        """Readable: `agents=4 think_ms=100`."""
        return " ".join(f"{name}={level}" for name, level in self.levels.items())


class Design(_Section):
    """A whole design, validated."""

    schema_version: Literal[1]
    experiment: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    title: str
    question: str
    published: str = ""
    boundary: Boundary
    suts: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9\-]*$")], Sut] = Field(min_length=1)
    factors: dict[str, Factor]
    responses: dict[str, str]
    depths: dict[Depth, DepthPlan]
    seed: int
    warmup: WarmupRule
    noise: NoiseRule
    gates: Gates
    hypotheses: dict[str, Hypothesis]
    exclusions: list[str]
    reads: list[str] = []
    """Files of the repository that the analysis reads besides the observations, such as prices."""
    measures_with: list[str] = []
    """Folders of the repository whose `*.jsonl` are measured with (evaluation items), and
    `quality.data_dir` for the configured one."""

    @model_serializer(mode="wrap")
    def _without_unused(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_empty(write(self), "reads", "measures_with")

    @model_validator(mode="after")
    def _levels_possible(self) -> Self:
        for depth, plan in self.depths.items():
            for phase, crossing in plan.phases.items():
                for name, levels in crossing.items():
                    where = f"depths.{depth}.phases.{phase}.{name}"
                    factor = self.factors.get(name)
                    if factor is None:
                        raise ValueError(
                            f"{where}: not a declared factor; declared: {', '.join(self.factors)}"
                        )
                    for level in levels:
                        if rule := factor.reject(level):
                            raise ValueError(f"{where}: {level} is not allowed; {rule}")
            for key, named in (("first", plan.first), ("once", plan.once)):
                if unknown := [phase for phase in named if phase not in plan.phases]:
                    raise ValueError(
                        f"depths.{depth}.{key}: no phase {unknown[0]!r}; "
                        f"there are: {', '.join(plan.phases)}"
                    )
            for phase, suts in plan.only.items():
                where = f"depths.{depth}.only.{phase}"
                if phase not in plan.phases:
                    raise ValueError(f"{where}: no such phase; there are: {', '.join(plan.phases)}")
                if unknown := [name for name in suts if name not in self.suts]:
                    raise ValueError(
                        f"{where}: no SUT {unknown[0]!r}; known: {', '.join(self.suts)}"
                    )
        return self

    @cached_property
    def digest(self) -> str:
        """Digest of the whole design; comments and layout of the file do not count."""
        return digests.of_data(self.model_dump(mode="json"))

    def measurement_digest(self, sut: str, depth: Depth) -> str:
        """Digest of what determines one SUT's measurements at one depth."""
        content = self.model_dump(mode="json", include=set(MEASURED))
        content["suts"] = {
            key: value
            for key, value in content["suts"][sut].items()
            if key not in ("label", "optional", "like")
        }
        content["depth"] = self.plan(depth).model_dump(mode="json", exclude={"blocks"})
        for suts in content["depth"].get("only", {}).values():
            # a SUT that someone adds is nothing to the others, but its phases are its own
            suts[:] = [name for name in suts if name == sut or self.suts[name].like is None]
        return digests.of_data(content)

    def plan(self, depth: Depth) -> DepthPlan:
        """The plan of a depth; `UserError` when the design does not declare it."""
        if depth not in self.depths:
            raise UserError(
                f"{self.experiment}: depth {depth!r} is not declared; "
                f"declared: {', '.join(self.depths)}"
            )
        return self.depths[depth]

    def cells(self, depth: Depth, sut: str | None = None, block: int = 0) -> list[Cell]:
        """Every cell of a depth (of one SUT, in a block), each combination once, as declared."""
        found: dict[str, Cell] = {}
        plan = self.plan(depth)
        for phase, crossing in plan.phases.items():
            if sut is not None and sut not in plan.only.get(phase, [sut]):
                continue
            if block and phase in plan.once:
                continue
            for levels in product(*crossing.values()):
                cell = Cell(phase=phase, levels=dict(zip(crossing, levels, strict=True)))
                found.setdefault(cell.label, cell)
        return list(found.values())

    def cell_order(self, depth: Depth, sut: str, block: int) -> list[Cell]:
        """The cells in the seeded random order of one block of one SUT, those of `first` ahead."""
        cells = self.cells(depth, sut, block)
        random.Random(f"{self.seed}/{sut}/{block}/cells").shuffle(cells)
        first = self.plan(depth).first
        return sorted(cells, key=lambda cell: cell.phase not in first)

    def selected_suts(self, optional: list[str]) -> list[str]:
        """The SUTs to measure: all that are not optional, and the optional ones named."""
        unknown = [name for name in optional if name not in self.suts]
        if unknown:
            raise UserError(
                f"optional_suts: {self.experiment} has no SUT {unknown[0]!r}; "
                f"it has: {', '.join(self.suts)}"
            )
        return [name for name, sut in self.suts.items() if not sut.optional or name in optional]

    def session_order(self, depth: Depth, suts: list[str]) -> list[tuple[str, int]]:
        """(SUT, block) in the order of measuring: SUTs interleaved, shuffled in each block.

        SUTs without a cell in a block are not measured in it.
        """
        order: list[tuple[str, int]] = []
        for block in range(self.plan(depth).blocks):
            shuffled = sorted(sut for sut in suts if self.cells(depth, sut, block))
            random.Random(f"{self.seed}/{block}/suts").shuffle(shuffled)
            order += [(sut, block) for sut in shuffled]
        return order


def _without_empty(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    """A design that does not use a key keeps the digest that it had before there was one."""
    return {name: value for name, value in content.items() if value or name not in keys}


def load(folder: Path, extra_suts: dict[str, Any] | None = None) -> Design:
    """Read `folder/design.yaml`; `extra_suts` come from the user's configuration.

    Raises `UserError` naming file, key and fix.
    """
    path = folder / DESIGN_FILE
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; an experiment is a folder with a design") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values")
    if extra_suts:
        _add(content, extra_suts, path)
    return validated(Design, content, str(path))


def _add(content: dict[str, Any], suts: dict[str, Any], path: Path) -> None:
    """Put the SUTs of a configuration beside those of a design, `like` one of them if they say."""
    known = content.get("suts", {})
    content["suts"] = {**known, **suts}
    plans = content.get("depths", {}).values()
    everywhere = all(set(plan.get("phases", ())) <= set(plan.get("only") or ()) for plan in plans)
    # an alias in the file is one list for several phases, or depths
    lists = {id(those): those for plan in plans for those in (plan.get("only") or {}).values()}
    for name, sut in suts.items():
        like = sut.get("like")
        if like is None and name not in known and everywhere:
            raise UserError(
                f"suts.{name}: like: is missing; each phase of {path} has its own SUTs: "
                f"name the one whose phases this one is measured in: {', '.join(known)}"
            )
        if like is not None and like not in known:
            raise UserError(
                f"suts.{name}: like: {path} has no SUT {like!r}; it has: {', '.join(known)}"
            )
        for those in lists.values():
            if like in those:
                those.append(name)


def validated(model: type[Model], content: Any, where: str) -> Model:
    """Validate, or raise one `UserError` that lists each wrong key with what to do."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                known = _fields_at(model, item["loc"][:-1])
                message = "unknown key" + (f"; known: {', '.join(known)}" if known else "")
            lines.append(f"{where}: {key}: {message}" if key else f"{where}: {message}")
        raise UserError("\n".join(lines)) from error


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the keys that the (nested) model at `location` knows; empty when unsure."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            inner = [annotation, *getattr(annotation, "__args__", ())]
            models = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
            if not models:
                return []
            model = models[0]
    return list(model.model_fields)
