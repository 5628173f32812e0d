"""Score texts against references: ROUGE-L, BLEU, BERTScore, coherence.

`quality_text.py JOB ANSWER`. Runs in the environment `quality` and imports the standard library and
the scorers. The scores of each pair are printed as soon as it is scored, one JSON object a line. An
encoder that cannot be loaded makes its metric unavailable, with the reason; the other metrics are
scored all the same.

A pair is scored by itself, never in a batch with others: its scores do not depend on what else was
asked, so those of a run that was resumed equal those of one that was not.
"""

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

LONGEST = 4096
"""Tokens that an encoder is asked to take at most where its tokenizer knows no limit."""
Pair = dict[str, Any]
Measure = Callable[[Pair], float]


def main() -> None:
    """Read the job, score, write the answer."""
    job = json.loads(Path(sys.argv[1]).read_text())
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    measures, failed = _loaded(job)
    pairs = job["pairs"]
    scores: dict[str, list[dict[str, Any]]] = {metric: [] for metric in measures}
    for index, pair in enumerate(pairs):
        found = {metric: _scored(measure, pair) for metric, measure in measures.items()}
        for metric, score in found.items():
            scores[metric].append(score)
        print(json.dumps({"result": found, "index": index}), flush=True)
        print(json.dumps({"done": index + 1, "of": len(pairs)}), flush=True)
    named = ("rouge-score", "sacrebleu", "bert-score", "sentence-transformers", "torch")
    answer = {"scores": scores, "failed": failed, "facts": {name: version(name) for name in named}}
    Path(sys.argv[2]).write_text(json.dumps(answer))


def _loaded(job: dict[str, Any]) -> tuple[dict[str, Measure], dict[str, str]]:
    measures = _overlap() if job["overlap"] else {}
    failed = {}
    for metric, load in (("bertscore", _bertscore), ("coherence", _coherence)):
        if job[metric] is None:
            continue
        try:
            measures[metric] = load(job[metric], job["batch"])
        except Exception as error:  # each library that loads has its own
            failed[metric] = _said(error)
    return measures, failed


def _scored(measure: Measure, pair: Pair) -> dict[str, Any]:
    try:
        return {"value": measure(pair)}
    except Exception as error:  # one text that a scorer does not take is no end of the others
        return {"value": None, "error": _said(error)}


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"


def _overlap() -> dict[str, Measure]:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU

    rouge, bleu = RougeScorer(["rougeL"], use_stemmer=False), BLEU(effective_order=True)
    return {
        "rouge_l": lambda p: float(
            rouge.score_multi(p["references"], p["answer"])["rougeL"].fmeasure
        ),
        "bleu": lambda p: bleu.sentence_score(p["answer"], p["references"]).score / 100,
    }


def _bertscore(encoder: dict[str, Any], batch: int) -> Measure:
    from bert_score import BERTScorer

    source = encoder["source"]
    if Path(source).is_dir():
        # bert-score takes a model for T5 when its name has "t5" in it, as a path may
        os.chdir(source)
        source = "."
    scorer = BERTScorer(
        model_type=source, num_layers=encoder["layer"], batch_size=batch, nthreads=0
    )
    scorer._tokenizer.model_max_length = min(
        scorer._tokenizer.model_max_length,
        getattr(scorer._model.config, "max_position_embeddings", LONGEST + 2) - 2,
    )

    def measure(pair: Pair) -> float:
        references = pair["references"]
        _, _, f1 = scorer.score([pair["answer"]] * len(references), list(references))
        return max(f1.tolist())

    return measure


def _coherence(encoder: dict[str, Any], batch: int) -> Measure:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(encoder["source"], device="cpu")

    def measure(pair: Pair) -> float:
        texts = [pair["answer"], *pair["references"]]
        answer, *references = model.encode(
            texts, batch_size=batch, normalize_embeddings=True, show_progress_bar=False
        )
        return max(float(answer @ reference) for reference in references)

    return measure


if __name__ == "__main__":
    main()
