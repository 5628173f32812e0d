"""The parts of a scoring run: scores computed here, code in its sandbox, texts by encoders."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from inferometer.quality import sandbox
from inferometer.quality.sandbox import Limits, score_code
from inferometer.quality.score_run_metrics import HERE, TEXT, Metrics
from inferometer.quality.score_run_plan import Plan
from inferometer.quality.score_run_progress import shown
from inferometer.quality.score_run_store import ScoreStore
from inferometer.quality.scoring import Score
from inferometer.quality.text_metrics import OVERLAP, Pair, score_texts

TEXT_LIMIT_S = 24 * 3600.0


def score_here(work: Sequence[Plan], store: ScoreStore) -> None:
    """Scores that need no process of their own."""
    for one in work:
        scores = [(k, HERE[m](one.item, one.text)) for m, k in one.keys.items() if m in HERE]
        if scores:
            store.add(one.task, one.item.id, scores)


def score_programs(work: Sequence[Plan], store: ScoreStore, limits: Limits, workers: int) -> None:
    """Run the code of answers, `workers` at a time; each has its own process and limits."""
    programs = [one for one in work if sandbox.METRIC in one.keys]
    if not programs:
        return
    pool = ThreadPoolExecutor(workers)
    try:
        running = {pool.submit(score_code, one.text, one.item, limits): one for one in programs}
        with shown("scoring code", len(programs)) as advance:
            for done in as_completed(running):
                one = running[done]
                store.add(one.task, one.item.id, [(one.keys[sandbox.METRIC], done.result())])
                advance()
    finally:
        pool.shutdown(cancel_futures=True)


def score_by_encoders(
    root: Path,
    work: Sequence[Plan],
    store: ScoreStore,
    how: Metrics,
    asked: Mapping[str, str | None],
) -> dict[str, str]:
    """Scores of texts; returns the reasons of the metrics that cannot be had here."""
    alike: dict[tuple[str, ...], list[Plan]] = defaultdict(list)
    for one in work:
        if lacking := tuple(metric for metric in TEXT if metric in one.keys):
            alike[lacking].append(one)
    why: dict[str, str] = {}
    short = {how.names[metric]: metric for metric in TEXT if metric in how.names}
    for lacking, plans in alike.items():
        with shown("scoring texts", len(plans)) as advance:

            def scored(index: int, scores: dict[str, Score], plans: list[Plan] = plans) -> None:
                one = plans[index]
                found = {short[name]: score for name, score in scores.items()}
                keyed = [(one.keys[m], s) for m, s in found.items() if m in one.keys]
                store.add(one.task, one.item.id, keyed)
                advance()

            result = score_texts(
                root,
                [Pair(one.text, one.item.references) for one in plans],
                bertscore=asked["bertscore"] if "bertscore" in lacking else None,
                coherence=asked["coherence"] if "coherence" in lacking else None,
                overlap=bool(set(OVERLAP) & set(lacking)),
                limit_s=TEXT_LIMIT_S,
                on_scored=scored,
            )
        for name, (first, *_) in result.by_metric.items():
            if first.status == "not testable here":
                why[short[name]] = str(first.reason)
    return why
