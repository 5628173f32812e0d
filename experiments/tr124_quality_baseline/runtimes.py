"""TR124: two runtimes, two repetitions, one question or eight at a time: what changes?"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from inferometer.analysis import Ledger, Where
from inferometer.quality import entries, picked
from inferometer.quality.paired import ItemScore, PairedAccuracy, PairedScores

OTHER = "transformers"
APART = 0.001
"""Nats of one log-probability that rounding does not explain; float32 stays below .0001."""


@dataclass
class Compared:
    """The tests behind the findings, and the declared margins of those that have one, by name."""

    margin: float
    points: float
    tests: dict[str, PairedAccuracy | PairedScores] = field(default_factory=dict)
    margins: dict[str, float] = field(default_factory=dict)

    def difference(
        self,
        ledger: Ledger,
        name: str,
        title: str,
        sides: tuple[list[ItemScore], list[ItemScore]],
        where: Where,
        metric: str,
    ) -> None:
        """Enter the first side minus the second; nothing where no item has a score on both."""
        zero_one = metric in entries.ZERO_ONE
        margin = self.points if zero_one else self.margin
        shared = {"margin": margin, "zero_one": zero_one}
        seen = entries.enter_difference(ledger, name, title, *sides, where, **shared)
        if seen is None:
            return
        self.tests[name] = seen
        if entries.composed(metric) or metric == "composite":
            self.margins[name] = margin


def enter(ledger: Ledger, table, suts, margin: float, points: float) -> Compared:  # type: ignore[no-untyped-def]
    """Enter differences from the reference runtime, and shares of equal answers."""
    compared = Compared(margin, points)
    asked = table.having(suts, "answers")
    for sut in asked:
        if sut != table.REFERENCE and table.REFERENCE in asked:
            _scores(ledger, table, sut, compared)
            _letters(ledger, table, suts, sut, compared)
            _answers(ledger, table, sut)
        _repeats(ledger, table, sut)
    _below(ledger, table, suts, compared)
    return compared


def _answers(ledger: Ledger, table, sut: str) -> None:  # type: ignore[no-untyped-def]
    """Whether two runtimes answer the same text, and were asked the same number of tokens."""
    where = table.answers([sut, table.REFERENCE], table.ALONE, 1)
    for key, words, column in (
        ("same_text", f"items that {sut} answers as {table.REFERENCE} does", "text"),
        ("same_prompt", f"prompts of as many tokens as with {table.REFERENCE}", "prompt_tokens"),
    ):
        name = f"{sut}.runtime.{key}"
        _alike(ledger, name, words, where, lambda rows: rows["sut"] == sut, column)


def _repeats(ledger: Ledger, table, sut: str) -> None:  # type: ignore[no-untyped-def]
    """The same SUT twice, and alone against in a batch."""
    for batch in (table.ALONE, table.TOGETHER):
        _alike(
            ledger,
            f"{sut}.repeat.batch{batch}.same_text",
            f"items that {sut} answers the same twice, {batch} at a time",
            table.answers(sut, batch, [1, 2]),
            lambda rows: rows["repetition"] == 1,
        )
    _alike(
        ledger,
        f"{sut}.batch.same_text",
        f"items that {sut} answers in a batch of {table.TOGETHER} as it does alone",
        table.answers(sut, [table.ALONE, table.TOGETHER], 1),
        lambda rows: rows["batch"] == table.ALONE,
    )


def _scores(ledger: Ledger, table, sut: str, compared: Compared) -> None:  # type: ignore[no-untyped-def]
    """Every metric and the composite, on the same items."""
    pair = [sut, table.REFERENCE]
    where = table.first(pair)
    one, two = _sides(entries.selected(ledger, where), pair)
    composites = (entries.composite(one), entries.composite(two))
    title = f"composite, {sut} minus {table.REFERENCE}"
    name = _difference(sut, "composite")
    compared.difference(ledger, name, title, composites, where, "composite")
    for metric in table.metrics(one):
        sides = tuple(entries.scores(side[side["metric"] == metric]) for side in (one, two))
        title = f"{metric}, {sut} minus {table.REFERENCE}"
        about = where | {"metric": metric}
        compared.difference(ledger, _difference(sut, metric), title, sides, about, metric)  # type: ignore[arg-type]


def _letters(ledger: Ledger, table, suts, sut: str, compared: Compared) -> None:  # type: ignore[no-untyped-def]
    """Right letters on the public benchmarks, on the same items."""
    pair = [sut, table.REFERENCE]
    for benchmark in table.benchmarks(ledger.observations):
        where = table.scores(pair, "letters", benchmark=benchmark, metric="accuracy")
        one, two = _sides(entries.selected(ledger, where), pair)
        name = _difference(sut, f"{benchmark}-letters")
        title = f"right letters on {benchmark}, {sut} minus {table.REFERENCE}"
        sides = (entries.scores(one), entries.scores(two))
        compared.difference(ledger, name, title, sides, where, "accuracy")


def _sides(rows: pd.DataFrame, pair: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    return rows[rows["sut"] == pair[0]], rows[rows["sut"] == pair[1]]


def _difference(sut: str, metric: str) -> str:
    return f"{sut}.runtime.{metric.replace(':', '-')}.difference"


def _alike(
    ledger: Ledger,
    name: str,
    title: str,
    where: Where,
    on_one_side: Callable[[pd.DataFrame], pd.Series],
    column: str = "text",
) -> None:
    """The share of items with one and the same text on both sides; an empty one is a text."""
    rows = entries.selected(ledger, where)
    chosen = on_one_side(rows).astype(bool)
    keys = ["task", "item"]
    one, two = (rows[mask].set_index(keys)[column].dropna() for mask in (chosen, ~chosen))
    both = one.index.intersection(two.index)
    held = int((one.loc[both] == two.loc[both]).sum())
    lost = len(rows[keys].drop_duplicates()) - len(both)
    said = f"{lost} items not answered on both sides, left out" if lost else None
    reason = "not answered on both sides"
    entries.enter_share(ledger, name, title, held, len(both), where, reason=reason, notes=said)


def _below(ledger: Ledger, table, suts, compared: Compared) -> None:  # type: ignore[no-untyped-def]
    """Accuracies by log-probability, and every token of a text."""
    pair = [name + table.INSIDE for name in (OTHER, table.REFERENCE)]
    if set(pair) <= set(table.having(suts, "choices")):
        for benchmark in table.benchmarks(ledger.observations):
            where = table.scores(pair, "choices", benchmark=benchmark)
            for metric in ("accuracy", "accuracy_by_length", "right_log_prob"):
                about = where | {"metric": metric}
                sides = [entries.scores(s) for s in _sides(entries.selected(ledger, about), pair)]
                name = f"inside.{benchmark}.{metric}.difference"
                title = f"{metric} on {benchmark}, {pair[0]} minus {pair[1]}"
                compared.difference(ledger, name, title, tuple(sides), about, metric)  # type: ignore[arg-type]
                if metric == "right_log_prob":
                    _apart(ledger, benchmark, sides, about)
            picked.enter_agreement(ledger, f"inside.{benchmark}", pair, benchmark)
    for sut in table.having(suts, "texts"):
        where = {"kind": "text", "sut": sut, "cell_valid": True}
        entries.enter_texts(ledger, sut, entries.selected(ledger, where), where)


def _apart(ledger: Ledger, benchmark: str, sides: list[list[ItemScore]], where: Where) -> None:
    """The share of items whose right choice is not equally likely: one cut into other tokens is."""
    one, two = ({s.item: s.value for s in side if s.value is not None} for side in sides)
    both = one.keys() & two.keys()
    entries.enter_share(
        ledger,
        f"inside.{benchmark}.apart",
        f"items of {benchmark} whose right choice differs by more than {APART:g} nats",
        sum(abs(one[item] - two[item]) > APART for item in both),
        len(both),
        where,
        reason="no item has a log-probability on both sides",
    )
