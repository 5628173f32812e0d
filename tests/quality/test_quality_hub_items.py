"""Items of public benchmarks through lm-eval's own tasks, written into a folder."""

import json
from functools import partial
from pathlib import Path

import pytest
from checkouts import REPOSITORY

from inferometer.cli import main
from inferometer.quality.benchmarks import BENCHMARKS, offline_items
from inferometer.quality.harness import hub_items
from inferometer.quality.multiple_choice import context
from inferometer.stages import benchmarks

pytestmark = pytest.mark.slow

# A stand-in for the hub, which is not reached here: tasks of lm-eval's names over files that have
# the fields of the hub's datasets.
HUB = {
    "arc_challenge": [
        {
            "id": f"Mercury_{number}",
            "question": f"What melts at {number}?",
            "choices": {"text": ["ice", "iron"], "label": ["1", "2"]},
            "answerKey": "1",
        }
        for number in range(3)
    ],
    **{
        f"mmlu_{subject}": [
            {
                "question": f"Where is {number}?",
                "subject": subject,
                "choices": ["here", "there", "above", "below"],
                "answer": number % 4,
            }
            for number in range(5)
        ]
        for subject in ("anatomy", "high_school_biology")
    },
}


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    folder.mkdir()
    for name, rows in HUB.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        task = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_choice": ["A", "B"],
            "doc_to_target": 0,
        }
        (folder / f"{name}.yaml").write_text(json.dumps(task))
    group = {"group": "mmlu", "task": [name for name in HUB if name.startswith("mmlu_")]}
    (folder / "mmlu.yaml").write_text(json.dumps(group))
    return folder


def test_items_come_from_the_tasks_of_the_hub(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("HF_HOME", "HF_DATASETS_CACHE"):
        monkeypatch.setenv(key, str(tmp_path / "cache"))
    monkeypatch.setattr(benchmarks, "hub_items", partial(hub_items, include_path=hub))
    monkeypatch.chdir(REPOSITORY)
    data = tmp_path / "data"
    assert main(["benchmarks", str(data), "--items", "4"]) == 0
    said = capsys.readouterr().out
    assert "mmlu_4.jsonl, 4 items, digest " in said
    assert "lm-eval" in said
    arc, mmlu = offline_items("arc_challenge", data).items, offline_items("mmlu", data).items
    assert [item.id for item in arc] == ["Mercury_0", "Mercury_1", "Mercury_2"]  # all there are
    assert (arc[0].names, arc[0].choices, arc[0].answer) == (("1", "2"), ("ice", "iron"), "1")
    assert [item.id for item in mmlu][1:3] == [
        "mmlu_anatomy_00002",
        "mmlu_high_school_biology_00000",
    ]
    assert (mmlu[1].question, mmlu[1].answer) == ("Where is 2?", "C")
    assert "about high school biology.\n" in context(mmlu[2], "letter")
    assert main(["benchmarks", str(data)]) == 0  # nothing is asked a second time
    assert "mmlu: is there already" in capsys.readouterr().out
    assert len(hub_items(REPOSITORY, BENCHMARKS["mmlu"], include_path=hub)[0]) == 10


def test_items_without_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.chdir(REPOSITORY)
    assert main(["benchmarks", str(tmp_path / "data")]) == 1
    assert "needs the dataset hub" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    assert main(["benchmarks", str(tmp_path / "data"), "--items", "-1"]) == 1
