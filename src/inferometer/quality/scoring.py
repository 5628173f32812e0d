"""Scores of one answer that need no model: exact match, F1, length, repetition.

A score is never a silent zero: an empty answer says `empty`, an undefined value is `None`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "empty", "invalid", "undefined", "not testable here"]
NGRAM = 4
ARTICLES = re.compile(r"\b(a|an|the)\b")


@dataclass(frozen=True)
class Score:
    """One metric of one answer; `value` is None where it has no meaning, and `reason` says why.

    A status other than `ok` has a reason. An empty or invalid answer keeps its value of 0 where
    the metric counts it as wrong.
    """

    metric: str
    value: float | None
    status: Status = "ok"
    reason: str | None = None


def normalized(text: str) -> list[str]:
    """Words in lower case, without punctuation and English articles.

    The normalisation of SQuAD (Rajpurkar et al., 2016), for any script's punctuation; a text of
    nothing but articles keeps them.
    """
    bare = "".join(c for c in text.lower() if not unicodedata.category(c).startswith("P"))
    return ARTICLES.sub(" ", bare).split() or bare.split()


def exact_match(answer: str, references: Sequence[str]) -> Score:
    """1 when the normalized answer equals a normalized reference, else 0."""
    if not answer.strip():
        return empty("exact_match", 0.0)
    same = any(normalized(answer) == normalized(reference) for reference in references)
    return Score("exact_match", float(same))


def contains_reference(answer: str, references: Sequence[str]) -> Score:
    """1 when the words of a normalized reference stand together in the normalized answer, else 0.

    For models that answer in sentences, which an exact match takes as wrong throughout.
    """
    if not answer.strip():
        return empty("contains_reference", 0.0)
    text = f" {' '.join(normalized(answer))} "
    held = any(f" {' '.join(normalized(reference))} " in text for reference in references)
    return Score("contains_reference", float(held))


def token_f1(answer: str, references: Sequence[str]) -> Score:
    """Best F1 over the references of the normalized words, as bags (SQuAD); from 0 to 1."""
    if not answer.strip():
        return empty("token_f1", 0.0)
    return Score("token_f1", max(_f1(normalized(answer), normalized(r)) for r in references))


def _f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    common = sum((Counter(answer) & Counter(reference)).values())
    return 2 * common / (len(answer) + len(reference))


def length_words(answer: str) -> Score:
    """Number of words, divided at white space; 0 for an empty answer, which says so."""
    if not answer.strip():
        return empty("length_words", 0.0)
    return Score("length_words", float(len(answer.split())))


def repetition(answer: str, n: int = NGRAM) -> Score:
    """Share of the n-grams of words that are repeats of earlier ones: 0 none, towards 1 a loop.

    Undefined with fewer than n words. One minus distinct-n (Li et al., 2016).
    """
    metric = f"repetition_{n}"
    words = answer.lower().split()
    if not words:
        return empty(metric, None)
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    if not grams:
        return Score(metric, None, "undefined", f"{len(words)} words have no {n}-gram")
    return Score(metric, 1 - len(set(grams)) / len(grams))


def empty(metric: str, value: float | None) -> Score:
    """The score of an answer without text."""
    return Score(metric, value, "empty", "the answer is empty")


@dataclass(frozen=True)
class Tally:
    """Counts for the statistics of proportions: of `n` answers, how many were what."""

    n: int
    correct: int
    invalid: int
    empty: int


def tally(scores: Iterable[Score]) -> Tally:
    """Count scores of one metric that is 0 or 1; invalid and empty answers are wrong ones.

    Raises ValueError for a score without a value: whoever leaves one out must say so.
    """
    scores = list(scores)
    for score in scores:
        if score.value not in (0, 1):
            raise ValueError(f"{score.metric} is {score.value} ({score.reason}), neither 0 nor 1")
    statuses = Counter(score.status for score in scores)
    correct = sum(score.value == 1 for score in scores)
    return Tally(len(scores), correct, statuses["invalid"], statuses["empty"])
