"""Quality gates by application: `config/gates.yaml` against the intervals of findings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from inferometer.design import validated
from inferometer.errors import UserError
from inferometer.findings import Finding
from inferometer.quality import tiers
from inferometer.quality.tiers import Ends, Outcome
from inferometer.quantization import ends, score_name

GATES_FILE = Path("config/gates.yaml")
SCORE = ".score"
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Bound(_Section):
    """What a metric must reach: `at_least` or `at_most`, in `unit` ("" for 0 to 1).

    `finding` is what follows the SUT in the finding's id, where it is not the metric's score.
    """

    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""
    finding: str | None = None
    source: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _says_where_from(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("source") in (None, ""):
            raise ValueError("source is missing; say where the figure is from")
        return content

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give either at_least or at_most")
        return self

    def judge(self, interval: Ends | None) -> Outcome:
        """Pass or fail only where the whole interval is on one side."""
        if self.at_least is not None:
            return tiers.at_least(interval, self.at_least)
        assert self.at_most is not None
        return tiers.at_most(interval, self.at_most)

    def __str__(self) -> str:
        words = f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"
        return f"{words} {self.unit}".rstrip()


class Application(_Section):
    """What one kind of use asks for, metric by metric; all of it must hold."""

    title: str
    bounds: dict[str, Bound] = Field(min_length=1)


class Gates(_Section):
    """The whole file."""

    schema_version: Literal[1]
    applications: dict[Name, Application] = Field(min_length=1)

    def application(self, name: str) -> Application:
        """One application; `UserError` lists those that there are."""
        if name not in self.applications:
            known = ", ".join(self.applications)
            raise UserError(f"--application {name}: not in {GATES_FILE}; it has: {known}")
        return self.applications[name]


@dataclass(frozen=True)
class Judged:
    """The outcome for one metric of one SUT; `found` is None where there is no such finding."""

    sut: str
    metric: str
    bound: Bound
    outcome: Outcome
    finding: str
    found: Finding | None
    reason: str | None = None


def load(path: Path = GATES_FILE) -> Gates:
    """Read and check a file of gates; `UserError` names file, key and fix."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; copy it from the repository") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values; copy the file from the repository")
    return validated(Gates, content, str(path))


def suts(findings: Mapping[str, Finding]) -> list[str]:
    """The SUTs that have a score, in the order of the findings."""
    scores = [name.removesuffix(SCORE) for name in findings if name.endswith(SCORE)]
    return list(dict.fromkeys(name.rpartition(".")[0] for name in scores if "." in name))


def judge(application: Application, findings: Mapping[str, Finding], sut: str) -> list[Judged]:
    """Judge every metric of an application for a SUT, in the order of the file.

    A metric passes only if its whole interval is within the bound, and fails only if it is
    wholly beyond; without finding, value or interval it is undecided, and the reason says which.
    Raises `UserError` where a finding has another unit than its bound.
    """
    return [_judged(sut, metric, bound, findings) for metric, bound in application.bounds.items()]


def _judged(sut: str, metric: str, bound: Bound, findings: Mapping[str, Finding]) -> Judged:
    name = f"{sut}.{bound.finding}" if bound.finding else score_name(sut, metric)
    found = findings.get(name)
    if found is not None and found.unit != bound.unit:
        raise UserError(
            f"{GATES_FILE}: {metric}: its bound has the unit {bound.unit!r}, the finding {name} "
            f"has {found.unit!r}; write the bound in that unit"
        )
    outcome = bound.judge(ends(found))
    return Judged(sut, metric, bound, outcome, name, found, _why(outcome, found))


def _why(outcome: Outcome, found: Finding | None) -> str | None:
    if found is None:
        return "no finding"
    if found.value is None:
        return found.reason
    if found.interval is None:
        return f"no interval: {found.no_interval}"
    return "the interval crosses the bound" if outcome == "undecided" else None
