"""`inferometer audit`: check everything that is committed, with nothing but the repository.

For each results folder: seals, places, findings and figures, all recomputed from raw. For each
report: its stamp, its numbers, its links, its bytes. docs/audit.md lists the checks.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import Console

from inferometer.audit import claims, recompute, rendered
from inferometer.audit import folder as folders
from inferometer.audit.folder import Folder
from inferometer.errors import UserError
from inferometer.experiments import Experiment
from inferometer.findings import FindingsFile
from inferometer.reporting import stamps
from inferometer.stages.repository import opened

BESIDE_RESULTS = ("machine.json", "README.md")
"""Files that may lie above the results folders."""


@dataclass(frozen=True)
class Check:
    """One check that was made: on what, of what, and what it found."""

    where: str
    what: str
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Scope:
    """What to audit; with `root`, files there that belong to nothing are problems too.

    `claims` is the repository whose claims are judged anew.
    """

    folders: list[Folder]
    reports: list[Path]
    claims: Path | None = None
    root: Path | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "paths", nargs="*", type=Path, help="reports or results folders (default: all of them)"
    )
    parser.add_argument("--json", action="store_true", help="print checks and problems as JSON")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: here)")


def run(args: argparse.Namespace) -> int:
    """Print a line a check and the list of problems; 1 when there are any."""
    repository = opened(args.root)
    scope = scope_of(args.root, args.paths)
    checks = audit(scope, repository.experiments)
    if args.json:
        done = list(checks)
        problems = [words for check in done for words in check.problems]
        print(json.dumps({"checks": [asdict(check) for check in done], "problems": problems}))
        return 1 if problems else 0
    return _print(checks)


def scope_of(root: Path, paths: list[Path]) -> Scope:
    """What the given paths mean: a report with its results folder, or a results folder."""
    every = [Folder(path) for path in sorted((root / "results").glob("*/*")) if path.is_dir()]
    if not paths:
        judged = root if (root / "claims").is_dir() else None
        return Scope(every, rendered.reports_in(root / "reports"), judged, root)
    judged = None
    chosen: dict[Path, Folder] = {}
    reports = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: does not exist; give a report or a results folder")
        if claims.is_page(root, path):
            judged = root
            continue
        if path.suffix == ".md":
            report = rendered.report_of(path)
            reports.append(report)
            place = rendered.results_of(report, stamps.read(report))
            chosen |= {place.resolve(): Folder(place)} if place.is_dir() else {}
            continue
        inside = [f for f in every if _related(f.path.resolve(), path.resolve())]
        if not inside:
            raise UserError(f"{path}: no results folder; give a report or a results folder")
        chosen |= {found.path.resolve(): found for found in inside}
    return Scope(list(chosen.values()), list(dict.fromkeys(reports)), judged)


def audit(
    scope: Scope, experiments: dict[str, Experiment], steps: recompute.Steps | None = None
) -> Iterator[Check]:
    """Make every check in turn. `steps` stand in for tidying and analysing in tests."""
    steps = steps or recompute.Steps()
    if not scope.folders and not scope.reports and scope.claims is None:
        yield Check("repository", "nothing to audit: no results, no reports")
    for folder in scope.folders:
        yield from _folder_checks(folder, experiments, steps)
    for report in scope.reports:
        yield from _report_checks(report, experiments)
    if scope.claims is not None:
        where, repository = str(scope.claims / "reports" / "claims.md"), scope.claims
        yield _timed(where, "verdicts judged anew", lambda: claims.problems(repository))
    if scope.root is not None:
        root = scope.root
        yield _timed(str(root), "no stray files beside them", lambda: _stray(root, experiments))


def _folder_checks(
    folder: Folder, experiments: dict[str, Experiment], steps: recompute.Steps
) -> Iterator[Check]:
    where = str(folder.path)
    experiment = experiments.get(folder.experiment)
    if experiment is None:
        words = f"{where}: no experiment {folder.experiment!r} in this repository"
        yield Check(where, "experiment", [words])
    count = len(folder.sessions)
    sealed = _timed(where, f"sessions as sealed ({count})", lambda: folders.sealed_problems(folder))
    yield sealed
    aside = len(folder.set_aside)
    yield _timed(where, f"files set aside ({aside})", lambda: folders.set_aside_problems(folder))
    file, broken = _load(folder)
    if broken:
        yield Check(where, "findings.json", broken)
    if file is not None or not broken:
        yield _timed(where, "no stray files", lambda: folders.orphans(folder, file))
    if file is None:
        if not broken:
            yield Check(where, "no findings yet: measured, not analysed")
        return
    found = file
    yield _timed(
        where, "findings name the sessions", lambda: folders.reference_problems(folder, found)
    )
    yield _timed(
        where,
        f"figures ({len(found.figures)} files)",
        lambda: recompute.figure_problems(folder.path, found),
    )
    if experiment is not None:
        yield from _recomputed(folder, found, experiment, steps, bool(sealed.problems))


def _recomputed(
    folder: Folder,
    file: FindingsFile,
    experiment: Experiment,
    steps: recompute.Steps,
    altered: bool,
) -> Iterator[Check]:
    where = str(folder.path)
    yield Check(where, "analysed with this design", recompute.design_problem(file, experiment))
    if altered:
        yield Check(where, "not recomputed: its raw evidence is altered, see above")
        return
    begun = time.monotonic()
    try:
        table = steps.observations(folder.path)
    except Exception as error:  # sealed as it is, the evidence may still not be readable
        words = f"{where}: raw files cannot be tidied: {type(error).__name__}: {error}"
        yield Check(where, "observations from raw", [words], time.monotonic() - begun)
        return
    yield _timed(
        where,
        f"observations from raw ({len(table)} rows)",
        lambda: recompute.table_problems(folder.path, file, table),
        begun,
    )
    yield _timed(
        where,
        f"findings from raw ({len(file.findings)})",
        lambda: recompute.finding_problems(folder.path, file, experiment, _copy(table), steps),
    )


def _report_checks(report: Path, experiments: dict[str, Experiment]) -> Iterator[Check]:
    where = str(report)
    stamped = _timed(where, "stamp", lambda: rendered.stamp_problems(report))
    yield stamped
    yield _timed(where, "every number linked", lambda: rendered.number_problems(report))
    yield _timed(where, "every link leads somewhere", lambda: rendered.link_problems(report))
    try:
        stamp = stamps.read(report)
    except UserError:
        return
    experiment = experiments.get(stamp.experiment)
    if experiment is None or report.stem != stamp.experiment:
        words = f"{report}: says it is about experiment {stamp.experiment!r}"
        yield Check(where, "experiment", [words])
    elif stamped.problems:
        yield Check(where, "not rendered again: it is not from these findings, see above")
    else:
        results = rendered.results_of(report, stamp)
        yield _timed(
            where,
            "every byte as rendered",
            lambda: rendered.byte_problems(report, experiment, results),
        )


def _load(folder: Folder) -> tuple[FindingsFile | None, list[str]]:
    path = folder.path / "findings.json"
    if not path.exists():
        return None, []
    try:
        return FindingsFile.load(path), []
    except UserError as error:
        return None, [str(error)]


def _stray(root: Path, experiments: dict[str, Experiment]) -> list[str]:
    """Files of reports/ that are no page of a known experiment, and files above evidence."""
    pages = {*rendered.NOT_RENDERED}
    for name in experiments:
        pages |= {f"{name}.md", f"{name}.evidence.md"}
    found = [path for path in (root / "reports").glob("*") if path.name not in pages]
    for path in [*(root / "results").glob("*"), *(root / "results").glob("*/*")]:
        if path.is_file() and path.name not in BESIDE_RESULTS:
            found.append(path)
    return [
        f"{path}: nothing made or describes this file; remove or explain it"
        for path in sorted(found)
    ]


def _timed(
    where: str, what: str, find: Callable[[], list[str]], begun: float | None = None
) -> Check:
    begun = time.monotonic() if begun is None else begun
    problems = find()
    return Check(where, what, problems, round(time.monotonic() - begun, 3))


def _copy(table: pd.DataFrame) -> pd.DataFrame:
    return table.copy()  # an analysis may add columns to it


def _related(folder: Path, path: Path) -> bool:
    """Whether a path is a results folder, above it, or inside it."""
    return folder.is_relative_to(path) or path.is_relative_to(folder)


def _print(checks: Iterator[Check]) -> int:
    console = Console(highlight=False)
    problems: list[str] = []
    count = 0
    with console.status("auditing") as status:
        for check in checks:
            count += 1
            problems += check.problems
            mark, style = ("FAIL", "bold red") if check.problems else ("ok", "green")
            console.print(f"{mark:5}", style=style, end="")
            console.print(f"{check.where}: {check.what}", markup=False, soft_wrap=True)
            status.update(f"auditing {check.where}")
    if not problems:
        console.print(f"{count} checks, problems: none")
        return 0
    console.print(f"{count} checks, problems: {len(problems)}", style="bold red")
    for words in problems:
        console.print(f"- {words}", markup=False, soft_wrap=True)
    return 1
