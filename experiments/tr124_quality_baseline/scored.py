"""TR124: what each SUT scores: metrics, composite, accuracy by letters and by log-probability."""

import pandas as pd

from inferometer.analysis import Ledger
from inferometer.quality import entries, picked
from inferometer.quality.paired import ItemScore
from inferometer.quality.tasks import TASKS
from inferometer.quantization import score_name


def enter(ledger: Ledger, table, suts) -> None:  # type: ignore[no-untyped-def]
    """Means over items of every SUT."""
    for sut in table.having(suts, "answers"):
        _answers(ledger, table, sut)
    for phase, how in (("letters", "letter of the answer"), ("choices", "log-probability")):
        for sut in table.having(suts, phase):
            for benchmark in table.benchmarks(ledger.observations):
                _accuracy(ledger, table, sut, phase, benchmark, how)


def notes(ledger: Ledger) -> list[str]:
    """What was asked, and metrics that could not be had, in words."""
    said = entries.unavailable(ledger)
    asked = entries.selected(ledger, {"kind": "items"})
    if "faulty" in asked:
        faulty = asked[asked["faulty"].fillna(0) > 0]
        said += [
            f"`{int(count)}` faulty items of `{task}` were left out."
            for task, count in sorted(set(zip(faulty["task"], faulty["faulty"], strict=True)))
        ]
    return said


def _answers(ledger: Ledger, table, sut: str) -> None:  # type: ignore[no-untyped-def]
    """Each metric over all tasks that have it, and task by task; the composite likewise."""
    where = table.first(sut)
    rows = entries.selected(ledger, where)
    _metrics(ledger, table, sut, rows, where, "", "")
    _composite(ledger, sut, rows, where, "", "")
    for task in TASKS:
        own, about = rows[rows["task"] == task], where | {"task": task}
        if len(own):
            _metrics(ledger, table, sut, own, about, f"{task}-", f", {task}")
            _composite(ledger, sut, own, about, f"{task}-", f", {task}")


def _metrics(  # type: ignore[no-untyped-def]
    ledger: Ledger, table, sut: str, rows: pd.DataFrame, where, prefix: str, words: str
) -> None:
    for metric in table.metrics(rows):
        entries.enter_mean(
            ledger,
            score_name(sut, prefix + metric),
            f"{metric} of {sut}{words}",
            entries.scores(rows[rows["metric"] == metric]),
            where | {"metric": metric},
            zero_one=metric in entries.ZERO_ONE,
        )


def _composite(  # type: ignore[no-untyped-def]
    ledger: Ledger, sut: str, rows: pd.DataFrame, where, prefix: str, words: str
) -> None:
    name, title = score_name(sut, f"{prefix}composite"), f"composite of {sut}{words}"
    entries.enter_mean(ledger, name, title, entries.composite(rows), where, zero_one=False)


def _accuracy(  # type: ignore[no-untyped-def]
    ledger: Ledger, table, sut: str, phase: str, benchmark: str, how: str
) -> None:
    where = table.scores(sut, phase, benchmark=benchmark, metric="accuracy")
    found = entries.scores(entries.selected(ledger, where))
    if not found:
        return
    name, title = score_name(sut, benchmark), f"accuracy of {sut} on {benchmark} by {how}"
    entries.enter_mean(ledger, name, title, found, where, zero_one=True)
    if phase == "letters":
        _invalid(ledger, sut, benchmark, found, where)
    else:
        picked.enter_modal(ledger, f"{sut}.{benchmark}", sut, benchmark)


def _invalid(  # type: ignore[no-untyped-def]
    ledger: Ledger, sut: str, benchmark: str, found: list[ItemScore], where
) -> None:
    """The share of the answers that name no choice; what was never answered is no answer."""
    wrong = sum(one.status in ("invalid", "empty") for one in found)
    answered = sum(one.status in ("ok", "invalid", "empty") for one in found)
    entries.enter_share(
        ledger,
        f"{sut}.{benchmark}.invalid",
        f"answers of {sut} on {benchmark} that name no choice",
        wrong,
        answered,
        where,
        reason="nothing was answered",
    )
