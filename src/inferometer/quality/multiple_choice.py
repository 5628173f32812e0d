"""Multiple choice by log-probability: over the texts of the choices (ARC) or their letters (MMLU).

Prompts are those of lm-eval's tasks `arc_challenge` and `mmlu` without examples, character by
character, so that both give the same numbers on the same model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inferometer import environments
from inferometer.quality.items import LETTERS, ChoiceItem
from inferometer.quality.process import Progress, run_host
from inferometer.quality.scoring import Score

Style = Literal["text", "letter"]


@dataclass(frozen=True)
class ChoiceRequest:
    """A context, and the continuation whose log-probability is asked for."""

    context: str
    continuation: str


@dataclass(frozen=True)
class LogProb:
    """The natural log-probability of a continuation; None with the error where there is none."""

    value: float | None
    tokens: int
    error: str | None = None


@dataclass(frozen=True)
class ChoiceResult:
    """What a model picks for one item.

    Attributes
    ----------
    log_probs
        Of each choice, None where it could not be had.
    picked, picked_by_length
        Index of the most likely choice, and of the one most likely per character of its text (for
        letters the two are the same). None when a log-probability is missing or not finite; of
        equal ones the first.
    accuracy, accuracy_by_length
        1 where that is the right one, else 0 (lm-eval's `acc`, `acc_norm`); without a pick, the
        value is None and the reason says why.
    """

    item: str
    log_probs: tuple[float | None, ...]
    picked: int | None
    picked_by_length: int | None
    accuracy: Score
    accuracy_by_length: Score


def context(item: ChoiceItem, style: Style) -> str:
    """The prompt of an item."""
    if style == "text":
        return f"Question: {item.question}\nAnswer:"
    about = f" about {item.subject.lower()}" if item.subject else ""
    choices = "".join(f"{LETTERS[i]}. {choice}\n" for i, choice in enumerate(item.choices))
    return (
        f"The following are multiple choice questions (with answers){about}.\n\n"
        f"{item.question.strip()}\n{choices}Answer:"
    )


def letter_question(item: ChoiceItem) -> str:
    """What a model is asked in words: its answer is read by `parsing.parse_letter`."""
    choices = "".join(f"{n}. {c}\n" for n, c in zip(item.names, item.choices, strict=True))
    return (
        f"{item.question.strip()}\n{choices}\n"
        "Answer with the letter of the right choice and nothing else."
    )


def answers(item: ChoiceItem, style: Style) -> tuple[str, ...]:
    """What is scored as the continuation of the prompt, after a space."""
    return item.choices if style == "text" else tuple(LETTERS[: len(item.choices)])


def requests(item: ChoiceItem, style: Style) -> list[ChoiceRequest]:
    """One request for each choice, in order."""
    prompt = context(item, style)
    return [ChoiceRequest(prompt, f" {answer}") for answer in answers(item, style)]


def judge(item: ChoiceItem, style: Style, found: Sequence[LogProb]) -> ChoiceResult:
    """Pick by log-probability; raises ValueError unless there is one for each choice."""
    texts = answers(item, style)
    if len(found) != len(texts):
        raise ValueError(f"{item.id}: {len(found)} log-probabilities for {len(texts)} choices")
    values = tuple(one.value for one in found)
    why = next((one.error or "no log-probability" for one in found if one.value is None), None)
    finite = [v for v in values if v is not None and math.isfinite(v)]
    if why is None and len(finite) < len(values):
        why = "a log-probability is not finite"
    if why is not None:
        lost = (Score(m, None, "undefined", why) for m in ("accuracy", "accuracy_by_length"))
        return ChoiceResult(item.id, values, None, None, *lost)
    picked = _first_largest(finite)
    by_length = _first_largest([v / len(t) for v, t in zip(finite, texts, strict=True)])
    return ChoiceResult(
        item.id,
        values,
        picked,
        by_length,
        Score("accuracy", float(picked == item.gold)),
        Score("accuracy_by_length", float(by_length == item.gold)),
    )


def _first_largest(values: list[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def transformers_log_probs(
    root: Path,
    model: Path,
    asked: Sequence[ChoiceRequest],
    *,
    dtype: str = "float32",
    threads: int | None = None,
    limit_s: float = 3600.0,
    on_progress: Progress | None = None,
) -> list[LogProb]:
    """Log-probabilities by Transformers, in the environment of that stack.

    `model` is a folder in Hugging Face format with a tokenizer. A request that the model cannot
    take (longer than its context, a continuation without tokens) has an error instead of a value;
    nothing is cut off. Raises `UserError` when the model cannot be loaded.
    """
    job: dict[str, Any] = {"model": str(model), "dtype": dtype, "threads": threads}
    job["requests"] = [[one.context, one.continuation] for one in asked]
    python = environments.ensure(root, "transformers").python
    answer = run_host(python, "quality_choices", job, limit_s=limit_s, on_progress=on_progress)
    return [LogProb(**one) for one in answer["log_probs"]]


def score_items(
    root: Path, model: Path, items: Sequence[ChoiceItem], style: Style, *, dtype: str = "float32"
) -> list[ChoiceResult]:
    """Ask Transformers for every choice of every item, and pick; errors as above."""
    asked = [requests(item, style) for item in items]
    flat = [one for group in asked for one in group]
    found = iter(transformers_log_probs(root, model, flat, dtype=dtype))
    return [
        judge(item, style, [next(found) for _ in group])
        for item, group in zip(items, asked, strict=True)
    ]
