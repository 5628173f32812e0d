"""TR125: what each level gets right, and the text metrics of its answers."""

from collections.abc import Callable
from typing import Any

from inferometer import quantization as names
from inferometer.analysis import Ledger, Where
from inferometer.quality import entries, picked
from inferometer.quality.benchmarks import BENCHMARKS
from inferometer.quality.paired import ItemScore

TASKS = "tasks"
"""Question answering, classification and code together: an item is right or wrong."""
RIGHT = ("contains_reference", "accuracy", "checks_passed")


def enter(ledger: Ledger, model: Any) -> None:
    """Scores of every level and of the baseline."""
    for one in model.every:
        for benchmark, where in ASKED.items():
            title = f"share of right answers of {one.name}, {benchmark}"
            name = names.score_name(one.name, benchmark)
            found = scores(ledger, where(one), _sut(one, benchmark))
            entries.enter_mean(ledger, name, title, found, where(one), zero_one=True)
        if one.inside:
            for benchmark in BENCHMARKS:
                picked.enter_modal(ledger, f"{one.name}.{benchmark}", one.inside, benchmark)
        _letters(ledger, one)
        _texts(ledger, one)


def letters(benchmark: str) -> Callable[..., Where]:
    """What selects the scores of some levels by the letter that they answer."""

    def where(*levels: Any) -> Where:
        return _of(levels, "letters") | {"benchmark": benchmark, "metric": "accuracy"}

    return where


def answers(*levels: Any) -> Where:
    """What selects every score of some levels' answers to the generation tasks."""
    return _of(levels, "answers")


def _choices(benchmark: str) -> Callable[..., Where]:
    def where(*levels: Any) -> Where:
        return _of(levels, "choices") | {"benchmark": benchmark, "metric": "accuracy"}

    return where


def _tasks(*levels: Any) -> Where:
    return answers(*levels) | {"metric": list(RIGHT)}


def _of(levels: tuple[Any, ...], phase: str) -> Where:
    suts = [one.inside if phase == "choices" else one.served for one in levels]
    return {"kind": "score", "sut": suts, "phase": phase, "cell_valid": True}


ASKED: dict[str, Callable[..., Where]] = {
    **{benchmark: _choices(benchmark) for benchmark in BENCHMARKS},
    TASKS: _tasks,
}
"""Benchmark -> what selects the scores of some levels on it."""


def pair(ledger: Ledger, benchmark: str, one: Any, base: Any) -> list[list[ItemScore]]:
    """The scores of a level and of its baseline."""
    where = ASKED[benchmark](one, base)
    return [scores(ledger, where, _sut(each, benchmark)) for each in (one, base)]


def scores(ledger: Ledger, where: Where, sut: str | None) -> list[ItemScore]:
    """The scores of one SUT among the rows that `where` selects."""
    rows = entries.selected(ledger, where)
    return entries.scores(rows[rows["sut"] == sut]) if sut else []


def _sut(one: Any, benchmark: str) -> str | None:
    sut: str | None = one.served if benchmark == TASKS else one.inside
    return sut


def _letters(ledger: Ledger, one: Any) -> None:
    for benchmark in BENCHMARKS:
        about = letters(benchmark)(one)
        found = scores(ledger, about, one.served)
        title = f"share of right letters of {one.name}, {benchmark}"
        name = names.score_name(one.name, f"{benchmark}-letters")
        entries.enter_mean(ledger, name, title, found, about, zero_one=True)
        wrong = sum(score.status in ("invalid", "empty") for score in found)
        name, title = f"{one.name}.{benchmark}.invalid", f"answers of {one.name} without a letter"
        entries.enter_share(ledger, name, title, wrong, len(found), about, reason="nothing asked")


def _texts(ledger: Ledger, one: Any) -> None:
    """Every metric that is no matter of right or wrong, and the composite."""
    about = answers(one)
    rows = entries.selected(ledger, about)
    for metric in sorted(set(rows["metric"].dropna()) - set(entries.ZERO_ONE)):
        found = entries.scores(rows[rows["metric"] == metric])
        name, title = names.score_name(one.name, metric), f"{metric} of {one.name}"
        where: Where = about | {"metric": metric}
        entries.enter_mean(ledger, name, title, found, where, zero_one=False)
    name, title = names.score_name(one.name, "composite"), f"composite of {one.name}"
    found = entries.composite(rows)
    entries.enter_mean(ledger, name, title, found, about, zero_one=False)
