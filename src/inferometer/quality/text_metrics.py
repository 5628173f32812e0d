"""ROUGE-L, BLEU, BERTScore and coherence of answers, scored in the environment `quality`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferometer import environments
from inferometer.errors import NotTestableHere
from inferometer.quality import encoders
from inferometer.quality.process import Progress, run_host
from inferometer.quality.scoring import Score, empty

ENVIRONMENT = "quality"
OVERLAP = ("rouge_l", "bleu")
OnScored = Callable[[int, dict[str, Score]], None]


@dataclass(frozen=True)
class Pair:
    """An answer, and the references that it is compared with (at least one)."""

    answer: str
    references: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.references or not all(r.strip() for r in self.references):
            raise ValueError("a pair needs a reference, and none that is blank")


@dataclass(frozen=True)
class TextScores:
    """Scores in the order of the pairs, by metric; and the versions of the scorers."""

    by_metric: dict[str, tuple[Score, ...]]
    facts: dict[str, str]


def score_texts(
    root: Path,
    pairs: Sequence[Pair],
    *,
    bertscore: str | None = encoders.DEFAULT,
    coherence: str | None = encoders.DEFAULT,
    overlap: bool = True,
    batch: int = 16,
    limit_s: float = 3600.0,
    on_progress: Progress | None = None,
    on_scored: OnScored | None = None,
) -> TextScores:
    """Score answers against their references, each with the best of them.

    Parameters
    ----------
    root
        The repository whose `envs/quality.txt` the scorers come from.
    bertscore, coherence
        Names of encoders (`encoders.yaml`), or None to leave the metric out. The encoder is part
        of the metric's name: `bertscore_f1:all-minilm-l6-v2:l6`, `coherence:all-mpnet-base-v2`.
    overlap
        Whether ROUGE-L and BLEU are wanted.
    batch
        Texts of one pair that an encoder takes at once.
    limit_s
        How long the scorer may take, in seconds.
    on_scored
        Takes the index of a pair and its scores by metric, as soon as it is scored; blank answers
        and metrics that cannot be had are only in what is returned.

    Returns
    -------
    TextScores
        `rouge_l` (F of the longest common subsequence, 0 to 1), `bleu` (sentence BLEU of sacreBLEU
        with effective order, divided by 100), BERTScore's F1 without rescaling, and coherence
        (cosine of the sentence embeddings of answer and reference, -1 to 1). An empty answer has 0
        for overlaps and no value for encoders. An encoder that cannot be had or loaded gives
        scores with the status `not testable here` and the reason.

    Raises
    ------
    UserError
        The environment cannot be made, the name of an encoder is not known, the scorer fails.
    """
    full = {index: pair for index, pair in enumerate(pairs) if pair.answer.strip()}
    asked = {"bertscore": bertscore, "coherence": coherence}
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for metric, name in asked.items():
        try:
            fetched = encoders.fetch(name) if name else None
        except NotTestableHere as reason:
            missing[metric], fetched = str(reason), None
        found[metric] = fetched and {"source": fetched.source, "layer": fetched.layer}
    answer: dict[str, Any] = {"scores": {}, "failed": {}, "facts": {}}
    if full:
        job = {**found, "batch": batch, "overlap": overlap}
        job["pairs"] = [{"answer": p.answer, "references": p.references} for p in full.values()]
        python = environments.ensure(root, ENVIRONMENT).python
        indices = list(full)

        def scored(said: dict[str, Any]) -> None:
            names = {metric: metric_name(metric, asked.get(metric)) for metric in said["result"]}
            scores = {names[m]: _score(names[m], one) for m, one in said["result"].items()}
            if on_scored:
                on_scored(indices[said["index"]], scores)

        answer = run_host(
            python, "quality_text", job, limit_s=limit_s, on_progress=on_progress, on_result=scored
        )
    for metric, why in answer["failed"].items():
        missing[metric] = f"encoder {asked[metric]} cannot be loaded here: {why}"
    by_metric = {}
    for metric in (*(OVERLAP if overlap else ()), *(m for m, name in asked.items() if name)):
        named = metric_name(metric, asked.get(metric))
        values = answer["scores"].get(metric, [])
        by_metric[named] = _scores(named, pairs, values, missing.get(metric))
    return TextScores(by_metric, answer["facts"])


def metric_name(metric: str, encoder: str | None) -> str:
    """A metric's full name: its encoder belongs to it, and BERTScore's layer."""
    if encoder is None:
        return metric
    if metric == "bertscore":
        return f"bertscore_f1:{encoder}:l{encoders.catalog()[encoder].layer}"
    return f"{metric}:{encoder}"


def _scores(
    metric: str, pairs: Sequence[Pair], values: Sequence[dict[str, Any]], missing: str | None
) -> tuple[Score, ...]:
    left = iter(values)
    scores = []
    for pair in pairs:
        if missing is not None:
            scores.append(Score(metric, None, "not testable here", missing))
        elif not pair.answer.strip():
            scores.append(empty_score(metric))
        else:
            scores.append(_score(metric, next(left)))
    return tuple(scores)


def empty_score(metric: str) -> Score:
    """The score of an empty answer: 0 for an overlap, none for an encoder."""
    return empty(metric, None if ":" in metric else 0.0)


def _score(metric: str, said: dict[str, Any]) -> Score:
    if said["value"] is None:
        return Score(metric, None, "undefined", f"the scorer refused the text: {said['error']}")
    return Score(metric, said["value"])
