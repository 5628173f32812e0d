"""TR124: two runtimes, two repetitions, one question or eight at a time: what changes?"""

from dataclasses import dataclass, field

import pandas as pd

from inferometer.analysis import Ledger
from inferometer.quality import entries
from inferometer.quality.paired import PairedAccuracy, PairedScores

OTHER = "transformers"


@dataclass
class Compared:
    """The tests behind the findings, by the finding's name."""

    tests: dict[str, PairedAccuracy | PairedScores] = field(default_factory=dict)


def enter(ledger: Ledger, table, suts, margin: float, points: float) -> Compared:  # type: ignore[no-untyped-def]
    """Enter differences from the reference runtime, and shares of equal answers."""
    compared = Compared()
    asked = table.having(suts, "answers")
    for sut in asked:
        if sut != table.REFERENCE and table.REFERENCE in asked:
            _scores(ledger, table, sut, margin, points, compared)
            _texts(
                ledger,
                f"{sut}.runtime.same_text",
                f"items that {sut} answers as {table.REFERENCE} does",
                table.answers([sut, table.REFERENCE], table.ALONE, 1),
                lambda rows, sut=sut: rows["sut"] == sut,
            )
        for batch in (table.ALONE, table.TOGETHER):
            _texts(
                ledger,
                f"{sut}.repeat.batch{batch}.same_text",
                f"items that {sut} answers the same twice, {batch} at a time",
                table.answers(sut, batch, [1, 2]),
                lambda rows: rows["repetition"] == 1,
            )
        _texts(
            ledger,
            f"{sut}.batch.same_text",
            f"items that {sut} answers in a batch of {table.TOGETHER} as it does alone",
            table.answers(sut, [table.ALONE, table.TOGETHER], 1),
            lambda rows, alone=table.ALONE: rows["batch"] == alone,
        )
    _below(ledger, table, suts, points, compared)
    return compared


def _scores(  # type: ignore[no-untyped-def]
    ledger: Ledger, table, sut: str, margin: float, points: float, compared: Compared
) -> None:
    """Every metric and the composite, on the same items."""
    pair = [sut, table.REFERENCE]
    rows = entries.selected(ledger, table.first(pair))
    sides = [rows[rows["sut"] == one] for one in pair]
    for metric in table.metrics(rows):
        zero_one = metric in entries.ZERO_ONE
        found = [entries.scores(side[side["metric"] == metric]) for side in sides]
        if any(all(one.value is None for one in side) for side in found):
            continue  # the metric could not be had; a note says why
        name = _difference(sut, metric)
        compared.tests[name] = entries.enter_difference(
            ledger,
            name,
            f"{metric}, {sut} minus {table.REFERENCE}",
            *found,
            table.first(pair) | {"metric": metric},
            margin=points if zero_one else margin,
            zero_one=zero_one,
        )
    name = _difference(sut, "composite")
    compared.tests[name] = entries.enter_difference(
        ledger,
        name,
        f"composite, {sut} minus {table.REFERENCE}",
        *(entries.composite(side) for side in sides),
        table.first(pair),
        margin=margin,
        zero_one=False,
    )


def _difference(sut: str, metric: str) -> str:
    return f"{sut}.runtime.{metric.replace(':', '-')}.difference"


def _texts(ledger: Ledger, name: str, title: str, where, on_one_side) -> None:  # type: ignore[no-untyped-def]
    """The share of items with one and the same text on both sides; an empty one is a text."""
    rows = entries.selected(ledger, where)
    chosen = on_one_side(rows).astype(bool) if len(rows) else pd.Series(dtype=bool)
    keys = ["task", "item"]
    one, two = (
        rows[mask].set_index(keys)["text"].dropna() if len(rows) else pd.Series(dtype=str)
        for mask in (chosen, ~chosen)
    )
    both = one.index.intersection(two.index)
    held = int((one.loc[both] == two.loc[both]).sum())
    reason = "not answered on both sides"
    entries.enter_share(ledger, name, title, held, len(both), where, reason=reason)


def _below(ledger: Ledger, table, suts, points: float, compared: Compared) -> None:  # type: ignore[no-untyped-def]
    """Accuracies by log-probability, and every token of a text."""
    one, two = (name + table.INSIDE for name in (OTHER, table.REFERENCE))
    if {one, two} <= set(table.having(suts, "choices")):
        for benchmark in table.benchmarks(ledger.observations):
            where = table.scores([one, two], "choices", benchmark=benchmark)
            for metric, zero_one in (("accuracy", True), ("right_log_prob", False)):
                rows = entries.selected(ledger, where | {"metric": metric})
                name = f"inside.{benchmark}.{metric}.difference"
                compared.tests[name] = entries.enter_difference(
                    ledger,
                    name,
                    f"{metric} on {benchmark}, {one} minus {two}",
                    *(entries.scores(rows[rows["sut"] == sut]) for sut in (one, two)),
                    where | {"metric": metric},
                    margin=points if zero_one else 0.01,
                    zero_one=zero_one,
                )
    for sut in table.having(suts, "texts"):
        where = {"kind": "text", "sut": sut, "cell_valid": True}
        entries.enter_texts(ledger, sut, entries.selected(ledger, where), where)
