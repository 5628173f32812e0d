"""Findings, verdicts and decisions: everything a report may say, typed, as JSON."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from inferometer import digests
from inferometer.errors import UserError
from inferometer.manifest import write_atomically

Scalar = str | int | float | bool | None
FindingId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.\-]*$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(_Frozen):
    """An interval; a side that the data leave open is `None`."""

    low: float | None
    high: float | None
    confidence: float = 0.95


class Rows(_Frozen):
    """The observation rows behind a finding.

    `where` selects them: column -> value, or a list of allowed values. `digest` is
    `rows_digest` of the selected (session, line) pairs, so that a changed selection shows.
    """

    where: dict[str, Scalar | list[Scalar]]
    count: int = Field(ge=0)
    digest: str


class Finding(_Frozen):
    """A named result with everything needed to judge and to recompute it.

    `value` is `None` where the quantity is undefined, and `reason` says why. A finding has an
    interval, or `no_interval` says why not (a count, fewer than 3 blocks, ...).
    """

    id: FindingId
    title: str
    value: float | int | bool | str | None
    unit: str = ""
    interval: Interval | None = None
    no_interval: str | None = None
    n: int = Field(ge=0)
    n_of: str = "blocks"
    estimator: str
    rows: Rows
    reason: str | None = None
    notes: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.value is None and not self.reason:
            raise ValueError("value is None: say why in reason")
        if self.interval is None and not self.no_interval:
            raise ValueError("no interval: say why in no_interval")
        return self


Outcome = Literal["supported", "refuted", "inconclusive", "not testable here"]


class Verdict(_Frozen):
    """What findings say about a hypothesis declared in the design, or about a published claim.

    `p` and `p_adjusted` (Holm within `family`) are `None` for verdicts that rest on intervals.
    """

    hypothesis: str
    statement: str
    outcome: Outcome
    reason: str
    findings: list[FindingId]
    family: str | None = None
    test: str | None = None
    p: float | None = None
    p_adjusted: float | None = None


class Leaf(_Frozen):
    """What to do at the end of a path through a decision."""

    advice: str


class Case(_Frozen):
    """What makes the answer to a question about the reader's own case yes: `factor` >= `least`."""

    factor: str
    least: float


class Branch(_Frozen):
    """A question answered by a finding: `finding op threshold`, decided here where it can be.

    `holds` is `True`, `False`, or `None` when the interval straddles the threshold. A question
    without a finding is the reader's; `case` lets a program answer it.
    """

    question: str
    finding: FindingId | None = None
    holds: bool | None = None
    case: Case | None = None
    yes: "Node"
    no: "Node"

    @model_serializer(mode="wrap")
    def _without_unused(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A decision without cases is written as it was before there were any."""
        content: dict[str, Any] = write(self)
        if self.case is None:
            content.pop("case", None)
        return content


Node = Branch | Leaf


class Decision(_Frozen):
    """A decision tree whose branches name the findings they rest on."""

    id: str
    title: str
    root: Node


class SessionRef(_Frozen):
    """A session that fed the findings, as sealed."""

    id: str
    sut: str
    block: int
    records: int
    raw_sha256: str
    manifest_sha256: str
    design_digest: str


class FindingsFile(_Frozen):
    """All that the analysis of one experiment on one machine says."""

    schema_version: Literal[1] = 1
    experiment: str
    machine: str
    depth: str
    design_digest: str
    observations_sha256: str
    sessions: list[SessionRef]
    findings: list[Finding]
    verdicts: list[Verdict] = []
    decisions: list[Decision] = []
    figures: dict[str, str] = {}
    """File name -> sha256 of every figure drawn with these findings."""
    context: dict[str, Any] = {}
    """What a report shows besides findings: design facts, sessions set aside, validity rows."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [finding.id for finding in self.findings]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"findings named twice: {', '.join(twice)}")
        known = set(ids)
        for verdict in self.verdicts:
            missing = [name for name in verdict.findings if name not in known]
            if missing:
                raise ValueError(f"verdict {verdict.hypothesis}: unknown findings {missing}")
        return self

    def __getitem__(self, name: str) -> Finding:
        for finding in self.findings:
            if finding.id == name:
                return finding
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(finding.id == name for finding in self.findings)

    def save(self, path: Path) -> None:
        """Write as indented JSON, whole or not at all."""
        write_atomically(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read; raises `UserError` that names the file and the field."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise UserError(f"{path}: missing; run the analysis first") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{path}: {where}: {first['msg']}") from error


def rows_digest(pairs: list[tuple[str, int]]) -> str:
    """Digest of (session id, raw line) pairs, independent of their order."""
    return digests.of_data(sorted([session, int(line)] for session, line in pairs))


def full_id(experiment: str, finding: str) -> str:
    """The name under which other reports and claims quote a finding: `tr129.<id>`."""
    return f"{experiment}.{finding}"


def to_json(data: Any) -> str:
    """Indented JSON with non-ASCII text kept readable."""
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
