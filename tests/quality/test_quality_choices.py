"""Multiple choice by log-probability: picks, prompts, and lm-eval's own numbers on a real model."""

import json
import math
import os
import subprocess
from pathlib import Path

import pytest
from checkouts import REPOSITORY

from inferometer import environments
from inferometer.artifacts.catalog import shipped
from inferometer.artifacts.fetch import fetch
from inferometer.errors import NotTestableHere, UserError
from inferometer.quality.benchmarks import BENCHMARKS, benchmark, offline_items
from inferometer.quality.harness import evaluate_hub, evaluate_offline
from inferometer.quality.items import ChoiceItem
from inferometer.quality.multiple_choice import (
    ChoiceRequest,
    LogProb,
    context,
    judge,
    requests,
    score_items,
    transformers_log_probs,
)

IRON = ChoiceItem(
    id="iron",
    subject="Chemistry",
    question="Which of these is a metal? ",
    choices=("iron", "oxygen", "helium gas"),
    answer="A",
)
ICE = ChoiceItem(
    id="ice",
    question="What does ice become when it melts?",
    labels=("1", "2"),
    choices=("water that flows", "wood"),
    answer="1",
)


def found(*values: float) -> list[LogProb]:
    return [LogProb(value, 1) for value in values]


def test_prompts() -> None:
    assert context(ICE, "text") == "Question: What does ice become when it melts?\nAnswer:"
    assert [r.continuation for r in requests(ICE, "text")] == [" water that flows", " wood"]
    assert [r.continuation for r in requests(ICE, "letter")] == [" A", " B"]
    assert context(IRON, "letter") == (
        "The following are multiple choice questions (with answers) about chemistry.\n\n"
        "Which of these is a metal?\nA. iron\nB. oxygen\nC. helium gas\nAnswer:"
    )


def test_picks_by_sum_and_by_length() -> None:
    result = judge(ICE, "text", found(-8.0, -4.0))
    assert (result.picked, result.picked_by_length) == (1, 0)
    assert (result.accuracy.value, result.accuracy_by_length.value) == (0, 1)
    assert judge(IRON, "letter", found(-1.0, -1.0, -2.0)).picked == 0


@pytest.mark.parametrize("lost", [LogProb(None, 3, "too long"), LogProb(math.nan, 1)])
def test_a_missing_log_prob_is_undefined_and_no_zero(lost: LogProb) -> None:
    result = judge(ICE, "text", [LogProb(-1.0, 1), lost])
    assert result.picked is None
    assert (result.accuracy.value, result.accuracy.status) == (None, "undefined")
    assert result.accuracy.reason
    with pytest.raises(ValueError, match="1 log-probabilities for 2 choices"):
        judge(ICE, "text", found(-1.0))


def test_data_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"exactly one file mmlu\*\.jsonl, has none"):
        offline_items("mmlu", tmp_path)
    row = ICE.model_dump() | {"answer": "3"}
    (tmp_path / "arc_challenge_2.jsonl").write_text(
        json.dumps(ICE.model_dump(exclude={"subject"})) + "\n" + json.dumps(row | {"id": "b"})
    )
    items = offline_items("arc_challenge", tmp_path)
    assert items.items == (ICE,)
    assert str(items.faults[0]) == "arc_challenge_2.jsonl:2 (b): answer: '3' is none of 1, 2"
    with pytest.raises(UserError, match="hellaswag"):
        benchmark("hellaswag")


@pytest.fixture(scope="module")
def smollm2() -> Path:
    return fetch("smollm2-135m-f32", shipped(), REPOSITORY).path


@pytest.fixture(scope="module")
def sets() -> dict[str, list[ChoiceItem]]:
    """Items of the data folder where one is named, else ours above."""
    folder = os.environ.get("INFEROMETER_QUALITY_DATA")
    if not folder:
        return {"arc_challenge": [ICE, IRON], "mmlu": [ICE, IRON]}
    return {name: list(offline_items(name, Path(folder)).items[::40]) for name in BENCHMARKS}


@pytest.mark.slow
def test_lm_eval_gives_the_same_numbers(smollm2: Path, sets: dict[str, list[ChoiceItem]]) -> None:
    asked = {name: (items, BENCHMARKS[name].style) for name, items in sets.items()}
    theirs = evaluate_offline(REPOSITORY, smollm2, asked)
    for name, (items, style) in asked.items():
        ours = {r.item: r for r in score_items(REPOSITORY, smollm2, items, style)}
        same = [one for one in theirs.items if one.task.endswith(name)]
        assert {one.item for one in same} == set(ours)
        for one in same:
            mine = ours[one.item]
            assert mine.log_probs == pytest.approx(one.log_probs, abs=1e-3)
            assert mine.accuracy.value == one.accuracy
            if one.accuracy_by_length is not None:
                assert mine.accuracy_by_length.value == one.accuracy_by_length
        mean = sum(r.accuracy.value for r in ours.values()) / len(ours)
        assert theirs.totals[f"inferometer_{name}"]["acc,none"] == pytest.approx(mean)


THEIR_PROMPTS = """
import json, sys
from pathlib import Path
import lm_eval, yaml
from lm_eval.utils import apply_template
tasks = Path(lm_eval.__file__).parent / "tasks"
arc = yaml.safe_load((tasks / "arc/arc_easy.yaml").read_text())
mmlu = yaml.safe_load((tasks / "mmlu/default/_default_template_yaml").read_text())
anatomy = (tasks / "mmlu/default/mmlu_anatomy.yaml").read_text()
about = yaml.safe_load(anatomy.split('"include"')[0])
doc = json.loads(sys.argv[1])
print(json.dumps([
    apply_template(arc["doc_to_text"], doc),
    about["description"] + apply_template(mmlu["doc_to_text"], doc),
]))
"""


@pytest.mark.slow
def test_prompts_are_those_of_the_tasks_that_lm_eval_ships() -> None:
    item = ChoiceItem(
        id="x",
        subject="Anatomy",
        question=" Where is it? ",
        choices=("w", "x", "y ", "z"),
        answer="A",
    )
    python = environments.ensure(REPOSITORY, "quality").python
    command = [str(python), "-c", THEIR_PROMPTS, item.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert [context(item, "text"), context(item, "letter")] == theirs


@pytest.mark.slow
def test_what_a_model_cannot_take_is_an_error_of_the_request(smollm2: Path) -> None:
    asked = [ChoiceRequest("word " * 9000, " x"), ChoiceRequest("", " x"), ChoiceRequest("a", " b")]
    long, bare, good = transformers_log_probs(REPOSITORY, smollm2, asked)
    assert long.value is None
    assert "context of 8192" in str(long.error)
    assert bare.error
    assert good.value is not None
    assert good.value < 0
    with pytest.raises(UserError, match="cannot be loaded"):
        transformers_log_probs(REPOSITORY, smollm2 / "nowhere", asked)


@pytest.mark.slow
def test_hub_tasks_without_a_hub(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    with pytest.raises(NotTestableHere, match=r"quality\.data_dir"):
        evaluate_hub(REPOSITORY, smollm2, BENCHMARKS["arc_challenge"])
