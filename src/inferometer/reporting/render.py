"""Render the report of an experiment: two pages, and its decisions as JSON and Mermaid."""

import os
from pathlib import Path

from inferometer import digests
from inferometer.experiments import Experiment
from inferometer.findings import FindingsFile
from inferometer.manifest import write_atomically
from inferometer.reporting import decisions, pages

CALIBRATION = "aa_calibration"
"""The experiment whose finding the validity section of all other reports quotes."""


def texts(experiment: Experiment, findings_path: Path, reports_folder: Path) -> dict[Path, str]:
    """Every file that a report consists of, path -> content; nothing is written.

    The content depends on the findings, the templates and where the two folders lie, and on
    nothing else: no clock, no machine.
    """
    file = FindingsFile.load(findings_path)
    results = findings_path.parent
    source = pages.Source(
        file=file,
        findings_sha256=digests.of_file(findings_path),
        results=Path(os.path.relpath(results, reports_folder)).as_posix(),
        templates=experiment.folder,
        calibration=_calibration(file, results),
    )
    written = {
        reports_folder / f"{file.experiment}.md": pages.report(source),
        reports_folder / f"{file.experiment}.evidence.md": pages.evidence_page(source),
    }
    for decision in source.decisions:
        folder = results / "decisions"
        written[folder / f"{decision.id}.json"] = decisions.as_json(decision)
        written[folder / f"{decision.id}.mmd"] = decisions.as_mermaid(decision)
    return written


def _calibration(file: FindingsFile, results: Path) -> FindingsFile | None:
    """The A/A check of the machine, at standard depth; `None` where it was not run."""
    path = results.parent / CALIBRATION / "findings.json"
    if file.experiment == CALIBRATION or not path.is_file():
        return None
    return FindingsFile.load(path)


def render(experiment: Experiment, findings_path: Path, reports_folder: Path) -> list[Path]:
    """Write the report, its evidence page and its decisions; returns the paths.

    Raises `UserError`, before anything is written, that names the finding, the template line
    or the unlinked number at fault.
    """
    content = texts(experiment, findings_path, reports_folder)
    for path, text in content.items():
        write_atomically(path, text)
    return list(content)
