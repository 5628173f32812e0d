"""TR124: what each SUT scores: metrics, composite, accuracy by letters and by log-probability."""

from inferometer.analysis import Ledger
from inferometer.quality import entries
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


def notes(ledger: Ledger, table) -> list[str]:  # type: ignore[no-untyped-def]
    """What was asked, and metrics that could not be had, in words."""
    rows = ledger.observations
    lost = rows[(rows["kind"] == "score") & (rows["status"] == "not testable here")]
    said = [
        f"`{metric}` has no value: {reason}"
        for metric, reason in sorted(set(zip(lost["metric"], lost["reason"], strict=True)))
    ]
    faulty = rows[(rows["kind"] == "items") & (rows["faulty"].fillna(0) > 0)]
    said += [
        f"`{int(count)}` faulty items of `{task}` were left out."
        for task, count in sorted(set(zip(faulty["task"], faulty["faulty"], strict=True)))
    ]
    return said


def _answers(ledger: Ledger, table, sut: str) -> None:  # type: ignore[no-untyped-def]
    where = table.first(sut)
    rows = entries.selected(ledger, where)
    for metric in table.metrics(rows):
        entries.enter_mean(
            ledger,
            score_name(sut, metric),
            f"{metric} of {sut}",
            entries.scores(rows[rows["metric"] == metric]),
            where | {"metric": metric},
            zero_one=metric in entries.ZERO_ONE,
        )
    title = f"composite of {sut}"
    found = entries.composite(rows)
    entries.enter_mean(ledger, score_name(sut, "composite"), title, found, where, zero_one=False)
    for task in TASKS:
        own = rows[rows["task"] == task]
        if own.empty:
            continue
        name = score_name(sut, f"{task}-composite")
        title = f"composite of {sut}, {task}"
        about = where | {"task": task}
        entries.enter_mean(ledger, name, title, entries.composite(own), about, zero_one=False)


def _accuracy(  # type: ignore[no-untyped-def]
    ledger: Ledger, table, sut: str, phase: str, benchmark: str, how: str
) -> None:
    where = table.scores(sut, phase, benchmark=benchmark, metric="accuracy")
    found = entries.scores(entries.selected(ledger, where))
    name, title = score_name(sut, benchmark), f"accuracy of {sut} on {benchmark} by {how}"
    entries.enter_mean(ledger, name, title, found, where, zero_one=True)
    if phase == "letters":
        wrong = sum(one.status in ("invalid", "empty") for one in found)
        entries.enter_share(
            ledger,
            f"{sut}.{benchmark}.invalid",
            f"answers of {sut} on {benchmark} that name no choice",
            wrong,
            len(found),
            where,
            reason="nothing was asked",
        )
