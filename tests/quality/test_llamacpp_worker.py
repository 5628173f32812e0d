"""Log-probabilities by llama.cpp in process: cells on the real worker, and against Transformers."""

import json
from pathlib import Path

import pytest
from checkouts import REPOSITORY
from quality_cells import Bench, on

from inferometer.artifacts.catalog import shipped
from inferometer.artifacts.fetch import fetch
from inferometer.design import Sut
from inferometer.errors import UserError
from inferometer.quality.items import ChoiceItem
from inferometer.quality.multiple_choice import requests, transformers_log_probs

SETTINGS = {"kv_type": "f32", "context": 512, "flash_attention": "off"}
WORKER = Sut(stack="llamacpp_inprocess", artifact="smollm2-135m-f32-gguf", settings=SETTINGS)
ICE = {
    "id": "ice",
    "question": "What does ice become when it melts?",
    "choices": ["water that flows", "wood", "iron", "sand"],
    "answer": "A",
}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    long = ICE | {"id": "long", "question": "What is ice? " * 300}
    (tmp_path / "arc_challenge_2.jsonl").write_text(json.dumps(ICE) + "\n" + json.dumps(long))
    return tmp_path


def test_choices_texts_and_a_worker_that_dies(tmp_path: Path, data_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.measure("choices", benchmark="arc_challenge")
        assert not outcome.reasons
        ice, long = bench.of("choice")
        assert ice["gold"] == 0
        assert ice["picked"] == ice["log_probs"].index(max(ice["log_probs"]))
        assert all(value < 0 for value in ice["log_probs"])
        assert long["right_log_prob"] is None
        lost = bench.of("score", item="long", metric="accuracy")[0]
        assert (lost["value"], lost["status"]) == (None, "undefined")
        assert "context of 512" in lost["reason"]

        await bench.measure("texts", corpus="summarization")
        for one in bench.of("text"):
            assert one["same_tokens"]
            assert one["nll"] > 0
            assert "kl" not in one

        (sut,) = bench.running.running
        with pytest.raises(UserError, match="at least 2 are needed"):
            await sut.worker.text_log_probs("")
        with pytest.raises(UserError, match="more than the model's context of 512"):
            await sut.worker.text_log_probs("word " * 600)

        for process in bench.running.processes():
            process.kill()
        for phase in ({"benchmark": "arc_challenge"}, {"corpus": "summarization"}):
            name = "choices" if "benchmark" in phase else "texts"
            outcome = await bench.measure(name, **phase)
            assert outcome.restart
            assert "2 of 2" in outcome.reasons[0]

    on(WORKER, tmp_path, test, data_dir)


@pytest.mark.slow
def test_transformers_gives_the_same_numbers(tmp_path: Path) -> None:
    reference = Sut(
        stack="transformers", artifact="smollm2-135m-f32", settings={"dtype": "float32"}
    )
    item = ChoiceItem.model_validate_json(json.dumps(ICE))
    asked = requests(item, "text") + requests(item, "letter")
    folder = fetch("smollm2-135m-f32", shipped(), REPOSITORY).path
    theirs = [one.value for one in transformers_log_probs(REPOSITORY, folder, asked)]

    async def test(bench: Bench) -> None:
        pairs = [(one.context, one.continuation) for one in asked]
        for sut in bench.running.running:
            ours = [one["value"] for one in await sut.worker.log_probs(pairs)]
            assert ours == pytest.approx(theirs, abs=1e-3)
        outcome = await bench.measure("texts", corpus="summarization")
        assert not outcome.reasons
        for one in bench.of("text"):
            assert one["same_tokens"]
            assert 0 <= one["kl"] / one["tokens"] < 1e-8
            assert one["same_top"] == one["tokens"]
            assert one["nll"] == pytest.approx(one["reference_nll"], abs=0.01)

    on(WORKER.model_copy(update={"companion": reference}), tmp_path, test)
