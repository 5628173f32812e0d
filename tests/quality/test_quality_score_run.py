"""Scoring runs: real items, real sandbox, real kills; the encoders are in the slow tests."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkouts import REPOSITORY

from inferometer import environments
from inferometer.errors import UserError
from inferometer.quality.sandbox import Limits
from inferometer.quality.score_run import ITEMS, Answer, ScoringRun, score_answers
from inferometer.quality.score_run_store import FILE, opened
from inferometer.quality.tasks import TASKS

SHORT = Limits(cpu_s=1, wall_s=3.0)
RUN = """
import json, sys
from pathlib import Path
from inferometer.quality.score_run import Answer, score_answers
root, folder, answers = sys.argv[1:]
answers = [Answer(**one) for one in json.loads(Path(answers).read_text())]
score_answers(Path(root), answers, Path(folder), workers=1)
"""


def items(task: str, count: int) -> list:
    return list(TASKS[task].load(REPOSITORY / ITEMS).items[:count])


def answer(task: str, item: str, text: str | None, sut: str = "a", repetition: int = 0) -> Answer:
    return Answer(task, item, sut, repetition, text, "stop")


def run(answers: list[Answer], folder: Path, **options) -> ScoringRun:
    return score_answers(REPOSITORY, answers, folder, limits=SHORT, **options)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


def test_every_metric_of_a_task_once_for_each_text(tmp_path: Path) -> None:
    first, second = items("qa", 2)
    right = first.references[0]
    answers = [
        answer("qa", first.id, right),
        answer("qa", first.id, right, sut="b"),
        answer("qa", second.id, "no idea at all"),
    ]
    done = run(answers, tmp_path)
    assert [s.metric for s in done.scored[0].scores] == list(TASKS["qa"].metrics)
    assert done.scored[0].scores == done.scored[1].scores
    assert (done.scored[0].scores[0].value, done.scored[2].scores[0].value) == (1, 0)
    assert (done.computed, done.reused, len(lines(tmp_path))) == (8, 0, 8)
    again = run(answers, tmp_path)
    assert (again.computed, again.reused) == (0, 8)
    assert again.scored == done.scored
    row = done.rows()[len(TASKS["qa"].metrics)]
    assert (row["sut"], row["metric"], row["finish"]) == ("b", "exact_match", "stop")


def test_bad_items_and_answers_are_scores_with_a_status(tmp_path: Path) -> None:
    code, *_ = items("code", 1)
    sound, faulty, *_ = (one.model_dump(mode="json") for one in items("classification", 2))
    own = tmp_path / "items"
    own.mkdir()
    faulty["answer"] = "none of them"
    (own / "classification.jsonl").write_text(f"{json.dumps(sound)}\n{json.dumps(faulty)}\n")
    (own / "code.jsonl").write_text(json.dumps(code.model_dump(mode="json")))
    loops = f"def {code.entry_point}(*a, **k):\n    while True: pass\n"
    answers = [
        answer("classification", sound["id"], sound["answer"]),
        answer("classification", faulty["id"], "x"),
        answer("classification", "gone", "x"),
        answer("classification", sound["id"], "", sut="b"),
        answer("classification", sound["id"], None, sut="c"),
        answer("classification", sound["id"], "cut \ud83d", sut="d"),
        answer("code", code.id, loops),
        answer("code", code.id, " ", sut="b"),
    ]
    done = run(answers, tmp_path / "scores", items=own)
    assert [(one.scores[0].value, one.scores[0].status) for one in done.scored] == [
        (1, "ok"),
        (None, "undefined"),
        (None, "undefined"),
        (0, "empty"),
        (None, "undefined"),
        (0, "invalid"),
        (0, "ok"),
        (0, "empty"),
    ]
    reasons = [str(one.scores[0].reason) for one in done.scored]
    assert "is none of" in reasons[1]
    assert reasons[2] == "no item gone"
    assert reasons[4] == "there is no answer: stop"
    assert reasons[6].startswith("cpu")


def test_what_cannot_be_had_is_said_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # a stand-in for a machine without a package index, and with neither encoder nor environment
    def gone(*_: object) -> environments.Environment:
        raise UserError("pip: no index")

    one = items("creative", 1)[0]
    answers = [answer("creative", one.id, "A short poem."), answer("creative", one.id, "", "b")]
    monkeypatch.setattr(environments, "ensure", gone)
    done = run(answers, tmp_path)
    assert [(s.status, s.value) for s in done.scored[0].scores[:4]] == [
        ("not testable here", None)
    ] * 4
    assert done.scored[0].scores[0].reason == "pip: no index"
    assert done.scored[0].scores[4].value == 3
    assert [s.status for s in done.scored[1].scores] == ["empty"] * 6
    assert {line["status"] for line in lines(tmp_path)} == {"ok", "undefined", "empty"}


def test_mistakes_of_the_caller_are_named(tmp_path: Path) -> None:
    first = items("qa", 1)[0]
    with pytest.raises(UserError, match="is there twice"):
        run([answer("qa", first.id, "x")] * 2, tmp_path)
    with pytest.raises(UserError, match="poetry"):
        run([answer("poetry", "x", "x")], tmp_path)
    with pytest.raises(UserError, match="no-such"):
        run([answer("qa", first.id, "x")], tmp_path, bertscore="no-such")
    (tmp_path / FILE).write_text("{}\n")
    with pytest.raises(UserError, match=r"scores\.jsonl:1: is no score"):
        run([answer("qa", first.id, "x")], tmp_path)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(UserError, match="another process"):
        run([answer("qa", items("qa", 1)[0].id, "x")], tmp_path)


def killed(answers: list[Answer], folder: Path, after: int, metric: str) -> list[dict]:
    """Score in a process that gets SIGKILL after `after` scores of a metric; returns the lines."""
    asked = folder.parent / "answers.json"
    asked.write_text(json.dumps([one.__dict__ for one in answers]))
    command = [sys.executable, "-c", RUN, str(REPOSITORY), str(folder), str(asked)]
    process = subprocess.Popen(command)
    try:
        while process.poll() is None:
            path = folder / FILE
            if path.exists() and path.read_text().count(f'"{metric}') >= after:
                break
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return lines(folder)


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    slow = "    import time; time.sleep(0.15)\n"
    answers = [
        answer("code", one.id, f"{one.solution}\n\ndef wait():\n{slow}wait()\n")
        for one in items("code", 12)
    ]
    folder = tmp_path / "scores"
    before = killed(answers, folder, 4, "checks_passed")
    programs = [line for line in before if line["metric"] == "checks_passed"]
    assert 4 <= len(programs) < 12
    with (folder / FILE).open("a") as file:
        file.write('{"key": "torn by the kill, "me')
    done = run(answers, folder)  # other limits: the code runs anew, the rest is found
    assert done.reused == 12
    assert done.computed == 12
    done = score_answers(REPOSITORY, answers, folder)
    assert (done.reused, done.computed) == (12 + len(programs), 12 - len(programs))
    after = lines(folder)
    assert after[: len(before)] == before
    assert len({line["key"] for line in after}) == len(after) == 12 * 3
    assert all(one.scores[0].value == 1 for one in done.scored)


@pytest.mark.slow
def test_texts_go_on_after_a_kill_with_the_same_scores(tmp_path: Path) -> None:
    answers = [
        answer("summarization", one.id, f"{one.references[0]} And so on, {n} times.", repetition=n)
        for one in items("summarization", 10)
        for n in range(8)
    ]
    whole = score_answers(REPOSITORY, answers, tmp_path / "whole")
    assert {s.status for one in whole.scored for s in one.scores} == {"ok"}
    assert {"bert-score", "rouge-score", "sacrebleu"} < set(whole.facts)
    before = killed(answers, tmp_path / "scores", 5, "bertscore")
    resumed = score_answers(REPOSITORY, answers, tmp_path / "scores")
    assert resumed.reused == len(before)
    assert 80 * 2 < resumed.reused < 80 * 6
    assert resumed.computed + resumed.reused == 80 * 6
    assert resumed.scored == whole.scored  # to the last digit


@pytest.mark.slow
def test_an_encoder_that_cannot_be_had_leaves_the_other_scores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = items("creative", 1)[0]
    answers = [answer("creative", one.id, one.references[0])]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = run(answers, tmp_path, bertscore="roberta-large")
    assert [score.status for score in done.scored[0].scores] == [
        *("ok", "ok", "not testable here", "ok", "ok", "ok")
    ]
    assert done.scored[0].scores[2].metric == "bertscore_f1:roberta-large:l17"
    assert "roberta-large" in str(done.scored[0].scores[2].reason)
    here = run(answers, tmp_path)
    assert (here.computed, here.reused) == (1, 5)
