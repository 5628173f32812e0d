"""Cells of answers and letters on llama.cpp's real server; few items, of our own."""

import json
from pathlib import Path

import pytest
from quality_cells import Bench, on

from inferometer.design import Sut
from inferometer.quality import measuring
from inferometer.quality.tasks import TASKS

SERVER = Sut(
    stack="llamacpp",
    artifact="smollm2-135m-f32-gguf",
    settings={"slots": 2, "context_per_slot": 512, "kv_type": "f32"},
)
SHORT = {
    "id": "sky",
    "subject": "Nature",
    "question": "Which colour has the sky on a clear day?",
    "choices": ["blue", "green", "red", "black"],
    "answer": "A",
}
LONG = SHORT | {"id": "long", "question": "Which colour is the sky? " * 200}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "mmlu_2.jsonl").write_text(json.dumps(SHORT) + "\n" + json.dumps(LONG) + "\n")
    return tmp_path


@pytest.fixture
def two_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks whose scores need no encoder."""
    kept = {name: TASKS[name] for name in ("qa", "classification")}
    monkeypatch.setattr(measuring, "TASKS", kept)


@pytest.mark.usefixtures("two_tasks")
def test_answers_end_by_themselves_and_are_scored(tmp_path: Path, data_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.measure("answers", batch=1, repetition=1)
        assert not outcome.reasons
        alone = {(one["task"], one["item"]): one["text"] for one in bench.of("answer")}
        assert len(alone) == 4
        assert all(alone.values())
        ended = [one for one in bench.of("answer") if one["finish_reason"] == "stop"]
        assert ended
        assert all(one["completion_tokens"] <= 24 for one in ended)
        scored = bench.of("score", metric="accuracy", task="classification")
        assert {one["value"] for one in scored} <= {0.0, 1.0}
        assert len(bench.of("score", metric="token_f1")) == 2
        assert {one["asked"] for one in bench.of("items")} == {2}

        await bench.measure("answers", batch=2, repetition=2)
        again = {(one["task"], one["item"]): one["text"] for one in bench.of("answer")}
        assert again == alone

        await bench.measure("sampled", temperature=1.5, batch=2, repetition=1)
        hot = {(one["task"], one["item"]): one["text"] for one in bench.of("answer")}
        assert set(hot) == set(alone)
        assert hot != alone

        outcome = await bench.measure("letters", benchmark="mmlu", batch=2)
        short, long = bench.of("score")
        assert (short["item"], short["cluster"]) == ("sky", "Nature")
        assert short["value"] in (0.0, 1.0)
        assert (long["value"], long["status"]) == (None, "undefined")
        assert "context" in long["reason"]
        assert bench.of("answer", item="long")[0]["status"] == "http_error"
        assert outcome.reasons[0].startswith("1 of 2 items have no answer; the first, long: HTTP")
        assert not outcome.restart

    on(SERVER, tmp_path, test, data_dir)


def test_a_server_that_dies_loses_its_cell_and_the_next_has_another(
    tmp_path: Path, data_dir: Path
) -> None:
    async def test(bench: Bench) -> None:
        for process in bench.running.processes():
            process.kill()
        outcome = await bench.measure("letters", benchmark="mmlu", batch=1)
        assert outcome.restart
        assert {one["status"] for one in bench.of("answer")} <= {"refused", "disconnected"}
        assert {one["status"] for one in bench.of("score")} == {"undefined"}
        assert "2 of 2 items have no answer" in outcome.reasons[0]
        await bench.running.restart()
        await bench.measure("letters", benchmark="mmlu", batch=1)
        assert bench.of("answer", item="sky")[0]["status"] == "ok"

        bench.data_dir = None
        outcome = await bench.measure("letters", benchmark="mmlu", batch=1)
        assert "quality.data_dir" in str(outcome.not_testable)
        assert not bench.records

    on(SERVER, tmp_path, test, data_dir)
