import argparse
import json

import pytest

from inferometer.audit import trace
from inferometer.errors import UserError


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    trace.add_arguments(parser)
    return trace.run(parser.parse_args(list(words)))


def test_the_chain_reaches_raw_lines_and_the_machine(repo, capsys):
    assert run("reports/tr900.md", "tr900.one-slot.rate.n2", "--records", "2") == 0
    printed = capsys.readouterr().out
    for expected in (
        "71.83567811865474 tokens/s",
        '{"sut": "one-slot", "agents": 2}',
        "raw/one-slot/00.jsonl:3",
        '"rate":70.71067811865474',
        "session   one-slot/02: 2 of these rows, as sealed",
        "a" * 64,
        "0123456789abcdef",
        "Test CPU, 2 cores",
        "every digest on the way fits",
    ):
        assert expected in printed
    assert "two-slots" not in printed


def test_json_holds_the_same(repo, capsys):
    assert run("reports/tr900.evidence.md", "peak", "--json", "--records", "99") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["finding"]["id"] == "peak"
    assert len(data["records"]) == 24
    assert {session["id"] for session in data["sessions"]} == {
        f"{sut}/0{block}" for sut in ("one-slot", "two-slots") for block in range(3)
    }
    assert data["lines"]


def test_a_near_miss_suggests_candidates(repo):
    with pytest.raises(UserError, match=r"no finding 'one-slot.rate.n3'; near it:\n  one-slot"):
        run("reports/tr900.md", "one-slot.rate.n3")


def test_altered_raw_is_named(repo, capsys):
    raw = repo.results / "raw/one-slot/01.jsonl"
    raw.write_text(raw.read_text().replace("101", "191"))
    assert run("reports/tr900.md", "one-slot.rate.n1") == 1
    assert "01.jsonl: altered" in capsys.readouterr().out


def test_an_altered_table_is_named(repo, capsys):
    path = repo.results / "observations.parquet"
    import pandas as pd

    table = pd.read_parquet(path)
    table.loc[0, "rate"] = 1.0
    table.to_parquet(path, index=False)
    assert run("reports/tr900.md", "one-slot.rate.n1") == 1
    assert "observations.parquet: altered" in capsys.readouterr().out


def test_a_page_without_stamp(repo):
    repo.report.write_text("# mine\n")
    with pytest.raises(UserError, match="no stamp"):
        run("reports/tr900.md", "peak")
