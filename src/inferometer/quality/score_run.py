"""Score the answers of a measurement after it: in parallel, once each, resumed after a kill."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferometer import environments
from inferometer.errors import UserError
from inferometer.quality import encoders, score_run_steps
from inferometer.quality.sandbox import Limits
from inferometer.quality.score_run_metrics import TEXT, metrics
from inferometer.quality.score_run_plan import Answer, Plan, check, missing, plan
from inferometer.quality.score_run_store import opened
from inferometer.quality.scoring import Score
from inferometer.quality.tasks import generation_task
from inferometer.quality.text_metrics import ENVIRONMENT

__all__ = ["Answer", "ScoredAnswer", "ScoringRun", "score_answers"]

ITEMS = Path("experiments/tr124_quality_baseline/items")
SCORERS = ("rouge-score", "sacrebleu", "bert-score", "sentence-transformers", "transformers")


@dataclass(frozen=True)
class ScoredAnswer:
    """An answer with a score for each metric of its task, in their order."""

    answer: Answer
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class ScoringRun:
    """Scores in the order of the answers.

    Attributes
    ----------
    items_sha256
        Digest of the item set of each task.
    computed, reused
        Scores that this call computed, and found on disk; equal texts for an item count once.
        Those that need no computing (no item, no answer, no encoder) are in neither.
    facts
        Versions of the scorers; empty where no text needed one.
    """

    scored: tuple[ScoredAnswer, ...]
    items_sha256: dict[str, str]
    computed: int
    reused: int
    facts: dict[str, str]

    def rows(self) -> list[dict[str, Any]]:
        """One row a score, for a table: what was asked of whom, metric, value, status, reason."""
        return [
            {
                **{key: getattr(one.answer, key) for key in ("task", "item", "sut", "repetition")},
                "finish": one.answer.finish,
                **{key: getattr(score, key) for key in ("metric", "value", "status", "reason")},
            }
            for one in self.scored
            for score in one.scores
        ]


def score_answers(
    root: Path,
    answers: Sequence[Answer],
    folder: Path,
    *,
    items: Path | None = None,
    bertscore: str | None = encoders.DEFAULT,
    coherence: str | None = encoders.DEFAULT,
    limits: Limits | None = None,
    workers: int | None = None,
) -> ScoringRun:
    """Score answers by all metrics of their tasks.

    Each score is appended to `scores.jsonl` in `folder` as soon as it is there, so a run that was
    killed goes on where it stopped, and a text that several SUTs gave is scored once. What cannot
    be scored has a status and a reason: an item that is faulty or not there, no answer, an encoder
    or environment that cannot be had. The last is tried again by the next run.

    Parameters
    ----------
    root
        The repository: the scorers' environment comes from it, and the items by default.
    items
        Folder with `<task>.jsonl`; by default the items that ship with tr124.
    bertscore, coherence
        Names of encoders, or None to leave the metric out.
    limits
        What the code of one answer may use.
    workers
        Answers with code that run at a time; by default one for each core.

    Raises
    ------
    UserError
        A task or an encoder is not known, an answer is there twice, a file of items is missing,
        the scores cannot be read or written, the scorer fails.
    """
    limits = limits or Limits()
    asked = {"bertscore": bertscore, "coherence": coherence}
    check(answers)
    sets = {
        task: generation_task(task).load(items or root / ITEMS)
        for task in dict.fromkeys(answer.task for answer in answers)
    }
    how = metrics(root, asked, limits)
    plans = [plan(answer, sets[answer.task], how) for answer in answers]
    with opened(folder) as store:
        before = len(store.scores)
        reused = len({key for one in plans for key in one.keys.values()} & set(store.scores))
        work = missing(plans, store.scores)
        score_run_steps.score_here(work, store)
        score_run_steps.score_programs(work, store, limits, workers or _cores())
        facts, why = _scorers(root, plans)
        if not why:
            why = score_run_steps.score_by_encoders(root, work, store, how, asked)
        found, computed = store.scores, len(store.scores) - before
    scored = [
        ScoredAnswer(answer, one.scores(found, how.names, why))
        for answer, one in zip(answers, plans, strict=True)
    ]
    digests_of = {task: one.sha256 for task, one in sets.items()}
    return ScoringRun(tuple(scored), digests_of, computed, reused, facts)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _scorers(root: Path, plans: Sequence[Plan]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the scorers of texts where they are needed; or why they cannot be had."""
    if not any(metric in one.keys for one in plans for metric in TEXT):
        return {}, {}
    try:
        freeze = environments.ensure(root, ENVIRONMENT).freeze
    except UserError as reason:
        return {}, dict.fromkeys(TEXT, str(reason))
    versions = dict(line.replace("_", "-").split("==", 1) for line in freeze if "==" in line)
    return {name: versions[name] for name in SCORERS if name in versions}, {}
