"""`quality.data_dir`: in the configuration, on the command line, and without it."""

import json
from pathlib import Path

import pytest
from checkouts import REPOSITORY

from inferometer import config, environments
from inferometer.errors import NotTestableHere, UserError
from inferometer.quality import harness
from inferometer.quality.benchmarks import BENCHMARKS
from inferometer.stages.repository import opened
from inferometer.stages.selection import Selection

ITEM = {"id": "ice", "question": "Melted ice is", "choices": ["water", "wood"], "answer": "A"}


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text(json.dumps(ITEM))
    return path


def validated(data_dir: Path) -> config.Config:
    return config.validate({"quality": {"data_dir": str(data_dir)}}, known=[])


def test_a_folder_with_items_is_taken(tmp_path: Path) -> None:
    assert config.Config().quality.data_dir is None
    assert set(config.BENCHMARK_FILES) == set(BENCHMARKS)
    data = folder(tmp_path / "data", "mmlu_285.jsonl", "arc_challenge.jsonl", "other.jsonl")
    assert validated(data).quality.data_dir == data


def test_what_is_wrong_names_the_key(tmp_path: Path) -> None:
    key = r"config/config\.yaml: quality\.data_dir: "
    with pytest.raises(UserError, match=key + ".*gone is no folder"):
        validated(tmp_path / "gone")
    with pytest.raises(UserError, match=key + r".* has no arc_challenge\*\.jsonl or mmlu\*"):
        validated(folder(tmp_path / "none", "hellaswag.jsonl"))
    with pytest.raises(UserError, match=key + r".*mmlu_1\.jsonl, mmlu_2\.jsonl; leave one"):
        validated(folder(tmp_path / "two", "mmlu_1.jsonl", "mmlu_2.jsonl"))
    with pytest.raises(UserError, match=r"quality\.data: unknown key; known: data_dir"):
        config.validate({"quality": {"data": "x"}}, known=[])
    with pytest.raises(UserError, match="quality"):
        config.validate({"quality": "x"}, known=[])


def test_a_folder_of_the_command_line_reaches_the_stages(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", "mmlu.jsonl")
    chosen = opened(REPOSITORY, {"quality": {"data_dir": str(data)}})
    option = Selection(chosen, "some-machine").overrides()
    said = json.loads(option.removeprefix("--overrides ").strip("'"))
    assert said["quality"] == {"data_dir": str(data)}
    assert Selection(opened(REPOSITORY, {}), "some-machine").overrides() == ""


def test_snakemake_takes_it_on_one_command_line(checkout) -> None:
    done = checkout.snakemake("reports/tr129.md", "-n", "--config", "quality={data_dir: gone}")
    assert done.rc != 0
    (message,) = done.messages()
    assert "quality.data_dir: gone is no folder" in message
    assert "Traceback" not in done.text


def test_a_benchmark_comes_from_the_folder_else_from_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # a stand-in for lm-eval's process, which the slow tests of multiple choice start
    jobs = []

    def host(python: Path, name: str, job: dict, **options: object) -> dict:
        jobs.append(job)
        return {"unreachable": "no route", "items": [], "totals": {}, "facts": {}} | (
            {"unreachable": None} if job["offline"] else {}
        )

    monkeypatch.setattr(harness, "run_host", host)
    made = environments.Environment("quality", Path("python"), "", [], "")
    monkeypatch.setattr(environments, "ensure", lambda *_: made)
    model, data = tmp_path / "model", folder(tmp_path / "data", "mmlu.jsonl")
    model.mkdir()
    (model / "config.json").write_text("{}")
    assert harness.evaluate(REPOSITORY, model, "mmlu", data).items == ()
    assert jobs[0]["tasks"] == ["inferometer_mmlu"]
    with pytest.raises(UserError, match=r"needs exactly one file arc_challenge\*\.jsonl"):
        harness.evaluate(REPOSITORY, model, "arc_challenge", data)
    with pytest.raises(NotTestableHere, match=r"no route; name a folder .* as quality\.data_dir"):
        harness.evaluate(REPOSITORY, model, "mmlu", None)
    assert jobs[1]["tasks"] == ["mmlu"]
