"""Check the claims report: every verdict judged anew from registry and findings."""

import os
from pathlib import Path

from inferometer import digests
from inferometer.claims import registry, report, verdicts
from inferometer.claims.measured import Results
from inferometer.errors import UserError

SHOWN = 3
"""Differing lines named for each page; the rest is counted."""


def is_page(root: Path, path: Path) -> bool:
    """Whether a path is the claims report of a repository or lies in its folder."""
    reports, asked = (root / "reports").resolve(), path.resolve()
    return asked == reports / "claims.md" or asked.is_relative_to(reports / "claims")


def problems(root: Path) -> list[str]:
    """Entries at fault, and pages that differ from what the registry and the findings give.

    Judged by the findings that the report names: newer ones of another machine are no problem.
    """
    # links are relative to the repository, wherever the audit was called from
    before = Path.cwd()
    os.chdir(root)
    try:
        page = Path("reports/claims.md")
        if not page.is_file():
            return [f"{page}: missing; run `inferometer claims report`"]
        used = report.stamped(page.read_text(encoding="utf-8"))
        found = [
            f"{page}: judged by {path}, which is missing or has changed since; "
            "run `inferometer claims report`"
            for path, digest in used.items()
            if not Path(path).is_file() or digests.of_file(Path(path)) != digest
        ]
        if found:
            return found
        results = Results(Path("results"), only=[Path(path) for path in used])
        judged = verdicts.judge_registry(registry.load(Path("claims")), results)
        found = list(judged.problems)
        for path, text in report.texts(judged, results, Path("reports")).items():
            found += _differences(path, text)
        return found
    except UserError as error:
        return [str(error)]
    finally:
        os.chdir(before)


def _differences(path: Path, text: str) -> list[str]:
    if not path.is_file():
        return [f"{path}: missing; run `inferometer claims report`"]
    stored, fresh = path.read_text(encoding="utf-8").splitlines(), text.splitlines()
    wrong = [
        number
        for number, (old, new) in enumerate(zip(stored, fresh, strict=False), start=1)
        if old != new
    ]
    if not wrong and len(stored) == len(fresh):
        return []
    wrong = wrong or [min(len(stored), len(fresh)) + 1]
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    lines = ", ".join(str(number) for number in wrong[:SHOWN])
    return [
        f"{path}: line {lines}{more}: not what registry and findings give; run "
        "`inferometer claims report`, or restore the page from git"
    ]
