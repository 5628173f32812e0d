"""Score texts against references: ROUGE-L, BLEU, BERTScore, coherence.

`quality_text.py JOB ANSWER`. Runs in the environment `quality` and imports the standard library and
the scorers. An encoder that cannot be loaded makes its metric unavailable, with the reason; the
other metrics are scored all the same.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

LONGEST = 4096
"""Tokens that an encoder is asked to take at most where its tokenizer knows no limit."""


def main() -> None:
    """Read the job, score, write the answer."""
    job = json.loads(Path(sys.argv[1]).read_text())
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    pairs = job["pairs"]
    scores: dict[str, list[float]] = _overlap(pairs)
    facts = {name: version(name) for name in ("rouge-score", "sacrebleu")}
    failed = {}
    for metric, measure in (("bertscore", _bertscore), ("coherence", _coherence)):
        encoder = job[metric]
        if encoder is None:
            continue
        try:
            scores[metric] = measure(pairs, encoder, job["batch"])
        except (OSError, ValueError, ImportError) as error:  # what loading raises
            failed[metric] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        _say(len(pairs), len(pairs))
    facts |= {name: version(name) for name in ("bert-score", "sentence-transformers", "torch")}
    answer = {"scores": scores, "failed": failed, "facts": facts}
    Path(sys.argv[2]).write_text(json.dumps(answer))


def _say(done: int, of: int) -> None:
    print(json.dumps({"done": done, "of": of}), flush=True)


def _overlap(pairs: list[dict[str, Any]]) -> dict[str, list[float]]:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU

    rouge, bleu = RougeScorer(["rougeL"], use_stemmer=False), BLEU(effective_order=True)
    return {
        "rouge_l": [
            float(rouge.score_multi(p["references"], p["answer"])["rougeL"].fmeasure) for p in pairs
        ],
        "bleu": [bleu.sentence_score(p["answer"], p["references"]).score / 100 for p in pairs],
    }


def _bertscore(pairs: list[dict[str, Any]], encoder: dict[str, Any], batch: int) -> list[float]:
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
    answers = [p["answer"] for p in pairs for _ in p["references"]]
    _, _, f1 = scorer.score(answers, [r for p in pairs for r in p["references"]])
    best, flat = [], iter(f1.tolist())
    for pair in pairs:
        best.append(max(next(flat) for _ in pair["references"]))
    return best


def _coherence(pairs: list[dict[str, Any]], encoder: dict[str, Any], batch: int) -> list[float]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(encoder["source"], device="cpu")
    texts = sorted({t for p in pairs for t in (p["answer"], *p["references"])})
    vectors = model.encode(texts, batch_size=batch, normalize_embeddings=True)
    of = dict(zip(texts, vectors, strict=True))
    return [max(float(of[p["answer"]] @ of[r]) for r in p["references"]) for p in pairs]


if __name__ == "__main__":
    main()
