import argparse
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from inferometer.claims import cli, listing, report, table, verdicts
from inferometer.claims.measured import Results
from inferometer.errors import UserError

HERE = Path(__file__).parents[2]
NO_RESULTS = Results(HERE / "tests" / "no-results")
JUDGED = verdicts.judge_folder(HERE / "claims", HERE / "tests" / "no-results")


def call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    folders = ["--claims", str(HERE / "claims"), "--results", str(HERE / "tests" / "no-results")]
    return cli.run(parser.parse_args([*folders, *words]))


def written(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_report_is_complete_fast_and_deterministic(tmp_path: Path) -> None:
    start = time.perf_counter()
    report.write(JUDGED, NO_RESULTS, tmp_path / "one")
    assert time.perf_counter() - start < 5
    report.write(JUDGED, NO_RESULTS, tmp_path / "two")
    first = written(tmp_path / "one")
    assert first == written(tmp_path / "two")
    assert set(first) == {
        "claims.md",
        "claims/constants.md",
        "claims/table.html",
        "claims/verdicts.png",
        "claims/verdicts.svg",
        *(f"claims/{source}.md" for source in JUDGED.sources),
    }


def test_links_of_the_report_lead_somewhere(tmp_path: Path) -> None:
    report.write(JUDGED, NO_RESULTS, tmp_path / "reports")
    for page in (tmp_path / "reports").rglob("*.md"):
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            file, _, anchor = target.partition("#")
            if file.startswith(("../../claims/", "../claims/", "../docs/")):
                assert (HERE / file.lstrip("./")).exists() or file == "../claims.md", target
                continue
            found = page.parent / file
            assert found.exists(), f"{page}: {target}"
            if anchor:
                assert f'id="{anchor}"' in found.read_text()


def test_every_claim_is_on_the_page_of_its_source(tmp_path: Path) -> None:
    report.write(JUDGED, NO_RESULTS, tmp_path)
    for source in JUDGED.sources:
        text = (tmp_path / "claims" / f"{source}.md").read_text()
        ids = {item.claim.id for item in JUDGED.judged if item.source.id == source}
        assert set(re.findall(r'<a id="([^"]+)">', text)) == ids
        assert "expected:" not in text


def test_the_table_needs_nothing_from_outside() -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.rows = 0
            self.outside: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.rows += tag == "tr"
            self.outside += [name for name, _ in attrs if name in ("src", "href")]

    reader = Reader()
    reader.feed(table.page(JUDGED.judged))
    assert reader.rows == len(JUDGED.judged) + 1
    assert reader.outside == []


def test_the_table_escapes_what_a_registry_says() -> None:
    item = JUDGED.judged[0]
    claim = item.claim.model_copy(update={"statement": "<script>alert(1)</script>"})
    page = table.page([verdicts.Judged(claim, item.source, item.verdict, item.reason)])
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_list_filters_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--source", "s004", "--verdict", "inconsistent") == 0
    out = capsys.readouterr().out
    assert "s004-kv-spill" in out
    assert "s004-fits" not in out
    assert out.endswith("5 of 388 claims\n")
    assert call("list", "--experiment", "tr129", "--kind", "measurement", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert {item["experiment"] for item in data} == {"tr129"}
    assert {item["kind"] for item in data} == {"measurement"}
    assert all("expected" not in item for item in data)


def test_show_gives_steps_constants_and_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("show", "s002-8x22b") == 0
    out = capsys.readouterr().out
    assert "verdict: impossible" in out
    assert "needed = mixtral_8x22b_params*0.5 = 141 * 0.5 = 70.5 GB" in out
    assert "mixtral_8x22b_params = 141 B [unsourced]" in out
    assert "hangs on values not verified here: mixtral_8x22b_params" in out
    assert "no run of tr133 on this machine" in out
    assert call("show", "s001-h5-jain", "--json") == 0
    assert json.loads(capsys.readouterr().out)["binding"]["scope"] == "any"


def test_an_unknown_claim_is_refused_with_the_way_to_the_ids() -> None:
    with pytest.raises(UserError, match="no claim 's9-x'; `inferometer claims` lists the ids"):
        call("show", "s9-x")


def test_add_writes_a_template_that_is_valid_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "constants.yaml").write_text((HERE / "claims" / "constants.yaml").read_text())
    folders = ("--claims", str(tmp_path), "--results", str(tmp_path))
    title = 'It\'s a "report": # 1'
    assert call("add", "mine", "--title", title, "--date", "2026-02-30", *folders) == 0
    capsys.readouterr()
    assert call("--source", "mine", *folders) == 0
    out = capsys.readouterr().out
    assert "mine-decode-ceiling  impossible" in out
    assert "x 1.2" in out
    with pytest.raises(UserError, match=r"mine\.yaml: exists"):
        call("add", "mine", "--title", "T", *folders)
    with pytest.raises(UserError, match="use a lower-case id"):
        call("add", "../up", "--title", "T", *folders)


def test_problems_go_to_stderr_and_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("constants.yaml", "s004.yaml"):
        (tmp_path / name).write_text((HERE / "claims" / name).read_text())
    text = (tmp_path / "s004.yaml").read_text()
    (tmp_path / "s004.yaml").write_text(text.replace("speed <= from_ram", "speed <= wishes"))
    assert call("--claims", str(tmp_path)) == 1
    captured = capsys.readouterr()
    assert "7 of 7 claims" in captured.out
    assert "s004-5toks: check.tests.0: unknown name 'wishes'" in captured.err


def test_strongest_first() -> None:
    ordered = listing.strongest_first(JUDGED.judged)
    assert [item.verdict for item in ordered[:31]] == ["impossible"] * 31
    factors = [item.factor or 0 for item in ordered[:31]]
    assert factors == sorted(factors, reverse=True)
