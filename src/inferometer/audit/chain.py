"""The chain behind a number: report -> finding -> rows -> records -> session -> machine."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from inferometer import digests, manifest, tidy
from inferometer.audit import folder as folders
from inferometer.audit import rendered, rows
from inferometer.errors import UserError
from inferometer.findings import Finding, FindingsFile, SessionRef
from inferometer.reporting import context as contexts
from inferometer.reporting import lint, stamps
from inferometer.reporting.context import SessionFacts


@dataclass(frozen=True)
class RawRecord:
    """A line of a raw file that a finding rests on."""

    file: str
    line: int
    text: str


@dataclass(frozen=True)
class Session:
    """A session behind a finding: what it was, and what is wrong with its files."""

    reference: SessionRef
    facts: SessionFacts | None
    manifest: str
    rows: int
    problems: list[str]


@dataclass(frozen=True)
class Chain:
    """Everything between a number in a report and the machine that gave it."""

    report: str
    lines: list[int]
    """Lines of the report that link to the finding."""
    findings: str
    finding: Finding
    design_digest: str
    machine: dict[str, str]
    records: list[RawRecord]
    sessions: list[Session]
    problems: list[str]
    """What broke on the way; empty when every digest fits."""

    def to_data(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {
            "report": self.report,
            "lines": self.lines,
            "findings": self.findings,
            "finding": self.finding.model_dump(mode="json"),
            "design_digest": self.design_digest,
            "machine": self.machine,
            "records": [vars(record) for record in self.records],
            "sessions": [
                {
                    **session.reference.model_dump(mode="json"),
                    "facts": session.facts.model_dump(mode="json") if session.facts else None,
                    "manifest": session.manifest,
                    "rows": session.rows,
                    "problems": session.problems,
                }
                for session in self.sessions
            ],
            "problems": self.problems,
        }


def follow(report: Path, name: str, records: int) -> Chain:
    """Follow one finding of a report to at most `records` raw lines.

    Raises `UserError` when the report has no such finding, with the nearest names, or when a
    file on the way is missing.
    """
    report = rendered.report_of(report)
    stamp = stamps.read(report)
    results = rendered.results_of(report, stamp)
    file = FindingsFile.load(results / "findings.json")
    finding = _named(file, name.removeprefix(f"{file.experiment}."), report)
    stored = results / "observations.parquet"
    table = tidy.read(stored)
    problems = rendered.stamp_problems(report)
    if digests.of_file(stored) != file.observations_sha256:
        problems.append(f"{stored}: altered: sha256 differs from the one in findings.json")
    broken = rows.problem(finding.rows, table)
    problems += [f"finding {finding.id}: {broken}"] if broken else []
    chosen = rows.selected(finding.rows, table) if not broken else table.iloc[:0]
    sessions = _sessions(file, results, chosen)
    return Chain(
        report=str(report),
        lines=_mentions(report, finding.id),
        findings=str(results / "findings.json"),
        finding=finding,
        design_digest=file.design_digest,
        machine=contexts.of(file).machine,
        records=_records(results, chosen, records),
        sessions=sessions,
        problems=problems + [words for session in sessions for words in session.problems],
    )


def _named(file: FindingsFile, name: str, report: Path) -> Finding:
    if name in file:
        return file[name]
    names = [finding.id for finding in file.findings]
    near = [found for found in names if name in found]
    near += difflib.get_close_matches(name, names, n=5, cutoff=0.4)
    listed = "".join(f"\n  {found}" for found in list(dict.fromkeys(near))[:8])
    hint = f"; near it:{listed}" if near else f"; {report} links to those it has"
    raise UserError(f"{report}: no finding {name!r}{hint}")


def _mentions(report: Path, name: str) -> list[int]:
    anchor = f"{rendered.evidence_of(report).name}#{name}"
    lines = report.read_text(encoding="utf-8").split("\n")
    return [
        number
        for number, line in enumerate(lines, start=1)
        if any(link.target == anchor for link in lint.links(line))
    ]


def _sessions(file: FindingsFile, results: Path, chosen: pd.DataFrame) -> list[Session]:
    facts = {session.id: session for session in contexts.of(file).sessions}
    counts = chosen["session"].value_counts().to_dict()
    found = []
    for reference in file.sessions:
        if reference.id not in counts:
            continue
        described = manifest.path_for(results / "raw" / f"{reference.id}.jsonl")
        problems = folders.session_problems(described)
        problems += [] if problems else list(folders.differing(reference, described))
        found.append(
            Session(
                reference=reference,
                facts=facts.get(reference.id),
                manifest=str(described),
                rows=int(counts[reference.id]),
                problems=problems,
            )
        )
    return found


def _records(results: Path, chosen: pd.DataFrame, count: int) -> list[RawRecord]:
    """Raw lines spread evenly over the rows, so that they come from several sessions."""
    if chosen.empty or count < 1:
        return []
    step = max(1, len(chosen) // count)
    picked = chosen.iloc[::step].head(count)
    found = []
    for session, line in zip(picked["session"], picked["line"].astype(int), strict=True):
        path = results / "raw" / f"{session}.jsonl"
        text = path.read_bytes().split(b"\n")[line - 1] if path.is_file() else b""
        found.append(RawRecord(str(path), int(line), text.decode(errors="replace")))
    return found
