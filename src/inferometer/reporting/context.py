"""What a report shows besides findings: the shape of `FindingsFile.context`.

An analysis builds a `ReportContext` and stores `context.stored()`; rendering reads it back with
`of(findings)`. Whatever a reader could want to check with a number of its own (the client's
added latency, the share of wall time inside cells) is a *finding* named in `validity`, not a
number here.

Texts of findings.json that reach the report (a verdict's reason, `notes` here) go through
`links.Links.text`, where every number must say where it comes from:

- `[[finding.id]]` becomes the linked value with its interval; `[[finding.id|value]]`,
  `[[finding.id|interval]]` and `[[finding.id|percent]]` choose another form;
- `[[=0.05]]` is a number of the design (a margin, an alpha, a level), linked to the design;
- `` `code` `` is left as it is: names, settings, cell labels.

Reasons of cells, sessions and files that were set aside are plain text: a report links them as
a whole to the section of the evidence page that lists them. Questions and advice of decisions
are plain text too; they are printed as code, with the findings they rest on linked below.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from inferometer.design import Design
from inferometer.errors import UserError
from inferometer.findings import FindingsFile


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SessionFacts(_Part):
    """What the evidence page and `trace` say about a session, taken from its manifest."""

    id: str
    """`<sut>/<NN>`, as in `SessionRef` and in the observations."""
    started: str
    """ISO 8601, UTC, to the second."""
    ended: str
    machine: str
    commit: str
    """Git commit; with `+dirty <digest>` when the tree had changes."""
    stack: str
    """Stack and version, as `llamacpp 0.2.1 (b1234)`."""
    command: str = ""
    """The server's command line."""
    environment: str
    """Digest of the environment lock."""
    artifacts: dict[str, str] = {}
    """Artifact name -> sha256."""
    platform: str = ""
    """Digest of kernel, OS, microcode and libraries."""


class SetAside(_Part):
    """A raw file that is kept and counted, but not analysed."""

    file: str
    """Path inside the results folder: `raw/llamacpp-1/noisy/03.jsonl`."""
    kind: Literal["aborted", "noisy", "superseded"]
    records: int
    reason: str = ""


class NoisySession(_Part):
    """An analysed session whose noise probe crossed a limit and could not be repeated."""

    session: str
    reasons: list[str]


class FailedCell(_Part):
    """A cell that the validity gate rejected."""

    session: str
    cell: str
    reasons: list[str]


class SoftwareChange(_Part):
    """Something that changed from one session to the next without changing the machine id."""

    session: str
    """The first session with the new value."""
    what: str
    before: str
    after: str


class ValidityRow(_Part):
    """A line of the validity table: a label and the finding that holds its number."""

    label: str
    finding: str


class NotTestable(_Part):
    """A level, phase or SUT of the design that this machine could not run."""

    what: str
    reason: str


class ReportContext(_Part):
    """Everything that `base.md.j2` and `evidence.md.j2` need besides findings and verdicts."""

    design: Design
    """The design the analysis used; its digest is `FindingsFile.design_digest`."""
    machine: dict[str, str]
    """The fingerprint for people: label -> text, as `CPU` -> `AMD EPYC, 2 cores`."""
    sessions: list[SessionFacts]
    set_aside: list[SetAside] = []
    noisy: list[NoisySession] = []
    cells_measured: int
    """Cells of the analysed sessions, failed ones included."""
    failed_cells: list[FailedCell] = []
    not_testable: list[NotTestable] = []
    software_changes: list[SoftwareChange] = []
    validity: list[ValidityRow] = []
    """Share of wall time inside cells, client calibration, schedule lag, noise probe, drift."""
    notes: list[str] = []
    """Sentences for the validity section, as `text` above."""

    @property
    def measured(self) -> tuple[str, str]:
        """First and last date of measurement; empty texts when there are no sessions."""
        days = [facts.started[:10] for facts in self.sessions]
        days += [facts.ended[:10] for facts in self.sessions]
        return (min(days), max(days)) if days else ("", "")

    def stored(self) -> dict[str, Any]:
        """As plain JSON data, for `FindingsFile.context`."""
        return self.model_dump(mode="json")


def of(file: FindingsFile) -> ReportContext:
    """The context of a findings file; `UserError` names the wrong key."""
    try:
        context = ReportContext.model_validate(file.context)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("context", *first["loc"]))
        raise UserError(
            f"findings of {file.experiment} on {file.machine}: {where}: {first['msg']}; "
            "run the analysis again"
        ) from error
    if context.design.digest != file.design_digest:
        raise UserError(
            f"findings of {file.experiment} on {file.machine}: context.design has another digest "
            "than design_digest; run the analysis again"
        )
    return context
