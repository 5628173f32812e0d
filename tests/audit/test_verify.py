import argparse
import json
from pathlib import Path

import pytest
import tiny

from inferometer import manifest
from inferometer.audit import recompute, verify
from inferometer.errors import UserError

STEPS = recompute.Steps(tiny.observations, tiny.analyse)
RAW = "raw/one-slot/00.jsonl"


def problems(repo: tiny.Tiny, *paths: str) -> list[str]:
    scope = verify.scope_of(Path(), [Path(path) for path in paths])
    checks = verify.audit(scope, {"tr900": repo.experiment}, STEPS)
    return [words for check in checks for words in check.problems]


def flip(path: Path, position: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 1
    path.write_bytes(bytes(data))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_untouched_evidence_passes(repo):
    assert problems(repo) == []


def test_every_byte_of_a_raw_file_counts(repo):
    flip(repo.results / RAW)
    found = problems(repo)
    assert any(RAW in words and "altered" in words for words in found)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raw/two-slots/01.manifest.json", "01.manifest.json"),
        ("raw/two-slots/01.server.log.gz", "01.server.log.gz: altered"),
        ("observations.parquet", "observations.parquet: altered"),
        ("figures/rate.svg", "rate.svg: altered"),
        ("figures/rate.png", "rate.png: altered"),
        ("decisions/slots.json", "slots.json: line"),
        ("findings.json", "findings.json"),
    ],
)
def test_a_flipped_byte_is_named(repo, name, message):
    flip(repo.results / name)
    assert any(message in words for words in problems(repo))


def test_an_edited_finding_is_named(repo):
    replace(repo.findings, "71.83567811865474", "61.83567811865474")
    found = problems(repo)
    assert any("finding one-slot.rate.n2: value: committed 61.8" in words for words in found)
    assert any("rendered from other findings" in words for words in found)


def test_an_edited_finding_is_found_under_a_fresh_report(repo):
    replace(repo.findings, "71.83567811865474", "61.83567811865474")
    repo.render()
    assert any("one-slot.rate.n2: value: committed 61.8" in words for words in problems(repo))


def test_an_edited_number_is_named_with_its_line(repo):
    replace(repo.report, "[71.8 [69.4, 74.3]]", "[61.8 [69.4, 74.3]]")
    line = next(
        number
        for number, text in enumerate(repo.report.read_text().split("\n"), start=1)
        if "[61.8" in text
    )
    found = problems(repo)
    assert len(found) == 1
    assert f"tr900.md: line {line}: altered" in found[0]
    assert "61.8" in found[0]
    assert "71.8" in found[0]


def test_a_number_without_link_is_named(repo):
    replace(repo.report, "One machine;", "One machine, 37 % faster;")
    found = problems(repo)
    assert any("37 is not linked" in words for words in found)


def test_a_removed_anchor_is_named(repo):
    replace(repo.reports / "tr900.evidence.md", '<a id="peak"></a>', "")
    assert any("there is no entry tr900.evidence.md#peak" in words for words in problems(repo))


def test_a_removed_or_edited_stamp_is_named(repo):
    text = repo.report.read_text()
    repo.report.write_text(text.split("\n", 2)[2])
    assert any("no stamp" in words for words in problems(repo))
    repo.report.write_text(text.replace('"depth": "standard"', '"depth": "full"', 1))
    assert any("stamp is altered" in words for words in problems(repo))


def test_a_partial_last_line_is_no_evidence(repo):
    with (repo.results / RAW).open("a") as file:
        file.write('{"schema_version":1,"ki')
    assert any(RAW in words for words in problems(repo))


def test_a_partial_last_line_of_an_aborted_session_is_fine(repo):
    aborted = next((repo.results / "raw/one-slot/aborted").glob("*.jsonl"))
    assert not aborted.read_bytes().endswith(b"\n")
    assert problems(repo) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("notes.txt", "nothing made or describes"),
        ("raw/one-slot/07.jsonl", "raw file without a manifest"),
        ("raw/one-slot/noisy/03.x.jsonl", "missing"),
        ("figures/other.svg", "nothing made or describes"),
        (".findings.json.123", "nothing made or describes"),
    ],
)
def test_orphans_are_named(repo, name, message):
    path = repo.results / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}\n")
    found = problems(repo)
    assert any(name in words or message in words for words in found), found
    assert any(message in words for words in found), found


def test_a_manifest_without_raw_is_named(repo):
    (repo.results / RAW).unlink()
    assert any("00.jsonl: missing" in words for words in problems(repo))


def test_sealed_sessions_that_findings_do_not_use(repo):
    raw = repo.results / "raw/one-slot/00.jsonl"
    sealed = manifest.read(manifest.path_for(raw))
    for key in ("schema_version", "raw", "manifest_sha256"):
        sealed.pop(key)
    extra = raw.with_name("03.jsonl")
    extra.write_bytes(raw.read_bytes())
    sealed |= {"session": "one-slot/03", "block": 3, "files": {}}
    manifest.seal(extra, sealed, target=manifest.path_for(extra))
    assert any("does not use it" in words for words in problems(repo))


def test_resealed_evidence_differs_from_the_findings(repo):
    raw = repo.results / RAW
    sealed = manifest.read(manifest.path_for(raw))
    for key in ("schema_version", "raw", "manifest_sha256"):
        sealed.pop(key)
    raw.write_text(raw.read_text().replace("100.0", "200.0"))
    manifest.seal(raw, sealed, target=manifest.path_for(raw))
    found = problems(repo)
    assert any("raw_sha256 differs from the one in findings.json" in words for words in found)
    assert any("finding one-slot.rate.n1: value" in words for words in found)
    assert any("column 'rate' differs from raw" in words for words in found)


def test_results_without_experiment_or_of_another_machine(repo):
    folder = repo.root / "results" / "elsewhere-1c" / "tr901"
    folder.mkdir(parents=True)
    assert any("no experiment 'tr901'" in words for words in problems(repo))
    folder.rmdir()
    repo.results.rename(folder.with_name("tr900"))
    assert any("was measured on testbox" in words for words in problems(repo))


def test_an_edited_design_is_one_problem(repo):
    replace(repo.experiment.folder / "design.yaml", "seed: 7", "seed: 8")
    found = problems(repo)
    assert len(found) == 1
    assert "is not the design that the findings" in found[0]


def test_an_edited_template_shows_in_the_bytes(repo):
    replace(repo.experiment.folder / "report.md.j2", "One machine;", "Two machines;")
    found = problems(repo)
    assert len(found) == 1
    assert "Two machines" in found[0]


def test_measured_but_not_analysed_is_no_problem(repo):
    for name in ("findings.json", "observations.parquet"):
        (repo.results / name).unlink()
    for name in ("figures", "decisions"):
        for path in (repo.results / name).iterdir():
            path.unlink()
    assert problems(repo, str(repo.results)) == []


def test_paths_narrow_the_audit(repo):
    (repo.reports / "stray.txt").write_text("")
    assert problems(repo, "reports/tr900.evidence.md") == []
    assert problems(repo, "results") == []
    (repo.results.parent / "notes.txt").write_text("")
    (repo.results.parent / "machine.json").write_text("{}")
    stray = [words for words in problems(repo) if "nothing made" in words]
    assert len(stray) == 2
    assert "stray.txt" in stray[0]
    assert "notes.txt" in stray[1]
    with pytest.raises(UserError, match="does not exist"):
        problems(repo, "reports/tr901.md")


def run(monkeypatch, repo, *words: str) -> int:
    class Opened:
        experiments = {"tr900": repo.experiment}  # noqa: RUF012

    monkeypatch.setattr(verify, "opened", lambda root: Opened)
    monkeypatch.setattr(recompute, "Steps", lambda: STEPS)
    parser = argparse.ArgumentParser()
    verify.add_arguments(parser)
    return verify.run(parser.parse_args(list(words)))


def test_the_command_lists_checks_and_problems(repo, monkeypatch, capsys):
    assert run(monkeypatch, repo) == 0
    assert "problems: none" in capsys.readouterr().out
    flip(repo.results / RAW)
    assert run(monkeypatch, repo) == 1
    printed = capsys.readouterr().out
    assert "FAIL" in printed
    assert "00.jsonl: altered" in printed
    assert run(monkeypatch, repo, "--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert data["problems"]
    assert {"where", "what", "problems", "seconds"} == set(data["checks"][0])
