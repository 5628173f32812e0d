import shutil
from pathlib import Path

import pytest

from inferometer.audit import claims, verify

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("claims", "reports"):
        shutil.copytree(ROOT / name, tmp_path / name)
    if (ROOT / "results").is_dir():
        shutil.copytree(
            ROOT / "results", tmp_path / "results", ignore=shutil.ignore_patterns("raw", "figures")
        )
    return tmp_path


def test_the_committed_claims_report_passes(repository: Path) -> None:
    assert claims.problems(repository) == []


def test_the_claims_report_can_be_audited_alone(repository: Path) -> None:
    for page in (Path("reports", "claims.md"), Path("reports", "claims", "s002.md")):
        scope = verify.scope_of(repository, [repository / page])
        (check,) = verify.audit(scope, {})
        assert check.what == "verdicts judged anew"
        assert check.problems == []


def test_an_edited_verdict_is_named_with_its_line(repository: Path) -> None:
    page = repository / "reports" / "claims" / "s002.md"
    text = page.read_text()
    assert "impossible" in text
    page.write_text(text.replace("impossible", "plausible", 1))
    number = next(n for n, line in enumerate(text.splitlines(), 1) if "impossible" in line)
    (problem,) = claims.problems(repository)
    assert problem.startswith(f"reports/claims/s002.md: line {number}:")


def test_an_edited_registry_shows(repository: Path) -> None:
    path = repository / "claims" / "s002.yaml"
    text = path.read_text()
    assert "statement: " in text
    path.write_text(text.replace("statement: ", "statement: Not so. ", 1))
    assert any("s002.md" in problem for problem in claims.problems(repository))


def test_a_missing_page_and_a_missing_stamp_are_named(repository: Path) -> None:
    page = repository / "reports" / "claims" / "s001.md"
    page.unlink()
    assert any("s001.md: missing" in problem for problem in claims.problems(repository))
    overview = repository / "reports" / "claims.md"
    overview.write_text(overview.read_text().partition("\n")[2])
    (problem,) = claims.problems(repository)
    assert "no stamp" in problem


def test_newer_findings_of_another_machine_are_no_problem(repository: Path) -> None:
    folder = repository / "results" / "other-1c-2g-000000" / "tr129"
    folder.mkdir(parents=True)
    (folder / "findings.json").write_text("{}")
    assert claims.problems(repository) == []
