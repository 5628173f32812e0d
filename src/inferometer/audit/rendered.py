"""Checks of committed pages: stamps, numbers, links, and every byte against a new rendering."""

import os
from pathlib import Path

from inferometer import digests
from inferometer.errors import UserError
from inferometer.experiments import Experiment
from inferometer.findings import FindingsFile
from inferometer.reporting import lint, pages, stamps
from inferometer.reporting.render import texts
from inferometer.reporting.stamps import Stamp

NOT_RENDERED = ("README.md", "claims.md", "claims", "statistics.md", "statistics")
"""What the reports folder holds besides the reports of experiments: the claims are audited on
their own, the simulations of the statistics are run again by `inferometer stats-check`."""

SHOWN = 5
"""Differing lines named for each page; the rest is counted."""

_EVIDENCE = ".evidence.md"


def reports_in(folder: Path) -> list[Path]:
    """The reports of a folder, evidence pages left out."""
    return sorted(
        path
        for path in folder.glob("*.md")
        if path.name not in NOT_RENDERED and not path.name.endswith(_EVIDENCE)
    )


def evidence_of(report: Path) -> Path:
    """The evidence page of a report."""
    return report.with_name(report.name.removesuffix(".md") + _EVIDENCE)


def report_of(page: Path) -> Path:
    """The report to which a page belongs."""
    if page.name.endswith(_EVIDENCE):
        return page.with_name(page.name.removesuffix(_EVIDENCE) + ".md")
    return page


def results_of(page: Path, stamp: Stamp) -> Path:
    """The results folder that a page was rendered from."""
    return Path(os.path.normpath(page.parent / stamp.results))


def stamp_problems(report: Path) -> list[str]:
    """Stamps that are missing, altered, or about other files than the ones in the repository."""
    found = []
    stamped = []
    for page in (report, evidence_of(report)):
        try:
            stamped.append((page, stamps.read(page)))
        except UserError as error:
            found.append(str(error))
    for page, stamp in stamped:
        found += [f"{page}: {words}" for words in _stale(page, stamp)]
    if len(stamped) == 2:
        first, second = (stamp.model_copy(update={"page": "report"}) for _, stamp in stamped)
        if first != second:
            found.append(f"{report}: its stamp and that of its evidence page differ")
    return found


def _stale(page: Path, stamp: Stamp) -> list[str]:
    source = results_of(page, stamp) / "findings.json"
    if not source.is_file():
        return [f"rendered from {source}, which is not in the repository"]
    if digests.of_file(source) != stamp.findings_sha256:
        return [f"rendered from other findings than {source} now holds; render it again"]
    file = FindingsFile.load(source)
    if stamps.of(file, stamp.page, stamp.results, stamp.findings_sha256) != stamp:
        return [f"its stamp is altered: it does not describe {source}"]
    return []


def number_problems(report: Path) -> list[str]:
    """Numbers of the report that no link leads from."""
    return [f"{report}: {found}" for found in lint.unlinked(_read(report))]


def link_problems(report: Path) -> list[str]:
    """Links of the report to entries that its evidence page does not have."""
    evidence = {page.name: _read(page) for page in report.parent.glob(f"*{_EVIDENCE}")}
    return [
        f"{report}: line {number}: there is no entry {target}"
        for number, target in pages.missing_anchors(_read(report), evidence)
    ]


def byte_problems(report: Path, experiment: Experiment, results: Path) -> list[str]:
    """Lines of the pages and of the decision files that a new rendering writes differently."""
    try:
        expected = texts(experiment, results / "findings.json", report.parent)
    except UserError as error:
        return [f"{report}: cannot be rendered again: {error}"]
    found = []
    for path, text in expected.items():
        if not path.is_file():
            found.append(f"{path}: missing; rendering writes it")
        elif path.read_bytes() != text.encode():
            found += _line_differences(path, text)
    return found


def _line_differences(path: Path, expected: str) -> list[str]:
    old, new = _read(path).split("\n"), expected.split("\n")
    found = []
    for number in range(max(len(old), len(new))):
        was = old[number] if number < len(old) else ""
        should = new[number] if number < len(new) else ""
        if was != should:
            left, right = _apart(was, should)
            found.append(
                f"{path}: line {number + 1}: altered: {left!r}, the findings give {right!r}"
            )
    if len(found) > SHOWN:
        found[SHOWN:] = [f"{path}: {len(found) - SHOWN} more lines differ"]
    return found or [f"{path}: altered: its bytes are not the rendered ones"]


def _apart(was: str, should: str, around: int = 25) -> tuple[str, str]:
    """The differing middle of two lines, with some text around it."""
    start = 0
    while start < min(len(was), len(should)) and was[start] == should[start]:
        start += 1
    end = 0
    while end < min(len(was), len(should)) - start and was[-1 - end] == should[-1 - end]:
        end += 1
    low, high = max(0, start - around), max(0, end - around)
    return was[low : len(was) - high][:160], should[low : len(should) - high][:160]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""  # reported with the stamps
