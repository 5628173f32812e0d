"""Scores of texts by the real scorers and the packaged encoder, in their own environment."""

import pytest
import yaml
from checkouts import REPOSITORY

from inferometer.errors import NotTestableHere, UserError
from inferometer.quality import encoders
from inferometer.quality.text_metrics import Pair, metric_name, score_texts

REFERENCE = "The council closes the high street to cars on summer Saturdays."
MINILM = {"bertscore_f1:all-minilm-l6-v2:l6", "coherence:all-minilm-l6-v2"}


def test_names_hold_the_encoder() -> None:
    assert metric_name("bertscore", "all-mpnet-base-v2") == "bertscore_f1:all-mpnet-base-v2:l12"
    assert metric_name("coherence", "all-minilm-l6-v2") == "coherence:all-minilm-l6-v2"
    with pytest.raises(UserError, match="no-such"):
        encoders.fetch("no-such")
    with pytest.raises(ValueError, match="reference"):
        Pair("x", ())


def test_an_encoder_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    # a stand-in for a machine without a package index
    def gone(name: str) -> encoders.Fetched:
        raise NotTestableHere(f"encoder {name} cannot be had here: no index")

    monkeypatch.setattr(encoders, "fetch", gone)
    scores = score_texts(REPOSITORY, [Pair("", (REFERENCE,))]).by_metric
    assert {m for m, s in scores.items() if s[0].status == "not testable here"} == MINILM
    assert (scores["rouge_l"][0].value, scores["rouge_l"][0].status) == (0, "empty")


def test_the_conda_twin_has_the_same_pins() -> None:
    pins = (REPOSITORY / "envs" / "quality.txt").read_text().splitlines()
    twin = yaml.safe_load((REPOSITORY / "envs" / "quality.yaml").read_text())
    assert twin["dependencies"][-1]["pip"] == [pin for pin in pins if not pin.startswith("#")]
    for same in ("torch", "transformers", "tokenizers", "numpy"):
        here = next(pin for pin in pins if pin.startswith(f"{same}=="))
        assert here in (REPOSITORY / "envs" / "transformers.txt").read_text().splitlines()


@pytest.mark.slow
def test_scores_order_good_and_bad_answers() -> None:
    answers = [
        REFERENCE,
        "On Saturdays in summer, cars may not enter the high street.",
        "Penguins huddle together in the cold.",
        "  ",
        "!!!",
    ]
    pairs = [Pair(a, (REFERENCE, "No cars on Saturdays.")) for a in answers]
    scores = score_texts(REPOSITORY, pairs).by_metric
    assert set(scores) == MINILM | {"rouge_l", "bleu"}
    for metric, values in scores.items():
        same, close, far, blank, marks = values
        assert same.value == pytest.approx(1, abs=1e-4)
        assert same.value > close.value > far.value, metric
        assert blank.status == "empty"
        assert blank.value is None if metric in MINILM else blank.value == 0
        assert marks.value is not None


@pytest.mark.slow
def test_a_hub_encoder_without_a_hub_is_not_testable_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    scores = score_texts(
        REPOSITORY, [Pair("A.", ("A.",))], bertscore="roberta-large", coherence=None
    ).by_metric
    (score,) = scores["bertscore_f1:roberta-large:l17"]
    assert (score.value, score.status) == (None, "not testable here")
    assert "roberta-large" in str(score.reason)
    assert scores["rouge_l"][0].value == 1
