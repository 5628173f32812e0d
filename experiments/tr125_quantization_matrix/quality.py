"""TR125: what each level loses against the baseline on the same items."""

from collections.abc import Callable

from inferometer import quantization as names
from inferometer.analysis import Ledger, Where
from inferometer.quality import entries, tiers
from inferometer.quality.benchmarks import BENCHMARKS
from inferometer.quality.paired import ItemScore

TASKS = "tasks"
"""Question answering, classification and code together: an item is right or wrong."""
RIGHT = ("exact_match", "accuracy", "checks_passed")
MARGIN_PP = -tiers.PASS.least_pp
UNASKED = "nothing was asked of it, or of its baseline"


def enter(ledger: Ledger, model, levels) -> None:  # type: ignore[no-untyped-def]
    """Scores of every level, and its differences, tiers and worst benchmark."""
    for one in model.every:
        _scores(ledger, one)
    if model.baseline is None:
        return
    for one in model.levels:
        _against(ledger, one, model.baseline)
        _letters(ledger, one, model.baseline)
        _composite(ledger, one, model.baseline)


def notes(ledger: Ledger) -> list[str]:
    """Metrics that could not be had, and faulty items."""
    rows = ledger.observations
    lost = rows[(rows["kind"] == "score") & (rows["status"] == "not testable here")]
    said = sorted(set(zip(lost["metric"], lost["reason"], strict=True)))
    return [f"`{metric}` has no value: `{reason}`" for metric, reason in said]


def _choices(benchmark: str) -> Callable[..., Where]:
    def where(*levels) -> Where:  # type: ignore[no-untyped-def]
        suts = [one.inside for one in levels]
        about = {"kind": "score", "sut": suts, "phase": "choices", "cell_valid": True}
        return about | {"benchmark": benchmark, "metric": "accuracy"}

    return where


def _tasks(*levels) -> Where:  # type: ignore[no-untyped-def]
    suts = [one.served for one in levels]
    about: Where = {"kind": "score", "sut": suts, "phase": "answers", "cell_valid": True}
    return about | {"metric": list(RIGHT)}


def _letter_rows(benchmark: str) -> Callable[..., Where]:
    def where(*levels) -> Where:  # type: ignore[no-untyped-def]
        suts = [one.served for one in levels]
        about: Where = {"kind": "score", "sut": suts, "phase": "letters", "cell_valid": True}
        return about | {"benchmark": benchmark, "metric": "accuracy"}

    return where


def _answer_rows(*levels) -> Where:  # type: ignore[no-untyped-def]
    suts = [one.served for one in levels]
    return {"kind": "score", "sut": suts, "phase": "answers", "cell_valid": True}


ASKED: dict[str, Callable[..., Where]] = {
    **{benchmark: _choices(benchmark) for benchmark in BENCHMARKS},
    TASKS: _tasks,
}
"""Benchmark -> what selects the scores of some levels on it."""


def _found(ledger: Ledger, where: Where, sut: str | None) -> list[ItemScore]:
    rows = entries.selected(ledger, where)
    return entries.scores(rows[rows["sut"] == sut]) if sut else []


def _sut(one, benchmark: str) -> str | None:  # type: ignore[no-untyped-def]
    return one.served if benchmark == TASKS else one.inside


def _scores(ledger: Ledger, one) -> None:  # type: ignore[no-untyped-def]
    for benchmark, where in ASKED.items():
        found = _found(ledger, where(one), _sut(one, benchmark))
        title = f"share of right answers of {one.name}, {benchmark}"
        name = names.score_name(one.name, benchmark)
        entries.enter_mean(ledger, name, title, found, where(one), zero_one=True)
    for benchmark in BENCHMARKS:
        about = _letter_rows(benchmark)(one)
        found = _found(ledger, about, one.served)
        title = f"share of right letters of {one.name}, {benchmark}"
        name = names.score_name(one.name, f"{benchmark}-letters")
        entries.enter_mean(ledger, name, title, found, about, zero_one=True)
        wrong = sum(score.status in ("invalid", "empty") for score in found)
        name, title = f"{one.name}.{benchmark}.invalid", f"answers of {one.name} without a letter"
        entries.enter_share(ledger, name, title, wrong, len(found), about, reason="nothing asked")
    about = _answer_rows(one)
    rows = entries.selected(ledger, about)
    for metric in sorted(rows["metric"].dropna().unique()):
        if metric not in entries.ZERO_ONE:
            entries.enter_mean(
                ledger,
                names.score_name(one.name, metric),
                f"{metric} of {one.name}",
                entries.scores(rows[rows["metric"] == metric]),
                about | {"metric": metric},
                zero_one=False,
            )
    title = f"composite of {one.name}"
    name = names.score_name(one.name, "composite")
    entries.enter_mean(ledger, name, title, entries.composite(rows), about, zero_one=False)


def _against(ledger: Ledger, one, base) -> None:  # type: ignore[no-untyped-def]
    """Differences that hold together over the benchmarks, their tiers, and the worst of them."""
    confidence = 1 - 0.05 / len(ASKED)
    for benchmark, where in ASKED.items():
        name = names.difference_name(one.model, one.level, benchmark)
        title = f"right answers on {benchmark}, {one.name} minus the baseline"
        found = [_found(ledger, where(one, base), _sut(each, benchmark)) for each in (one, base)]
        if all(found):
            shared = {"margin": MARGIN_PP, "zero_one": True, "confidence": confidence}
            entries.enter_difference(ledger, name, title, *found, where(one, base), **shared)
        else:
            about = where(one, base)
            how = "quality.paired"
            ledger.add(name, title, None, n=0, where=about, estimator=how, reason=UNASKED)
        _tier(ledger, one, benchmark, where(one, base))
    _worst(ledger, one, base)


def _worst(ledger: Ledger, one, base) -> None:  # type: ignore[no-untyped-def]
    seen = [ledger.findings[names.difference_name(one.model, one.level, b)] for b in ASKED]
    values = [found.value for found in seen]
    where: Where = {"kind": "score", "sut": [s for e in (one, base) for s in (e.served, e.inside)]}
    known = all(value is not None for value in values)
    ends = tiers.worst([names.ends(found) for found in seen])
    ledger.add(
        names.difference_name(one.model, one.level, names.WORST),
        f"right answers where {one.name} loses most, minus the baseline",
        min(values) if known else None,
        unit="pp",
        ci=ends if known else None,
        n=min(found.n for found in seen),
        n_of="items",
        where=where,
        estimator="least difference over the benchmarks; intervals hold together (Bonferroni)",
        no_interval="a benchmark has no interval",
        reason="a benchmark was not asked: what is lost there is not known",
        notes=_lowest(values) if known else None,
    )
    _tier(ledger, one, names.WORST, where)


def _lowest(values: list) -> str:
    return f"on {list(ASKED)[values.index(min(values))]}"


def _tier(ledger: Ledger, one, benchmark: str, where: Where) -> None:  # type: ignore[no-untyped-def]
    found = ledger.findings[names.difference_name(one.model, one.level, benchmark)]
    seen = tiers.tier(names.ends(found))
    ledger.add(
        names.tier_name(one.model, one.level, benchmark),
        f"tier of {one.name}, {benchmark}",
        seen.tier,
        n=found.n,
        n_of="items",
        where=where,
        estimator="quality.tiers: the tier that holds the whole interval",
        no_interval="a name",
        notes=seen.reason,
    )


def _letters(ledger: Ledger, one, base) -> None:  # type: ignore[no-untyped-def]
    for benchmark in BENCHMARKS:
        about = _letter_rows(benchmark)(one, base)
        found = [_found(ledger, about, each.served) for each in (one, base)]
        if all(found):
            entries.enter_difference(
                ledger,
                f"{one.name}.{benchmark}.letter_difference",
                f"right letters on {benchmark}, {one.name} minus the baseline",
                *found,
                about,
                margin=MARGIN_PP,
                zero_one=True,
            )


def _composite(ledger: Ledger, one, base) -> None:  # type: ignore[no-untyped-def]
    about = _answer_rows(one, base)
    rows = entries.selected(ledger, about)
    found = [entries.composite(rows[rows["sut"] == each.served]) for each in (one, base)]
    if all(found):
        entries.enter_difference(
            ledger,
            f"{one.name}.composite_difference",
            f"composite, {one.name} minus the baseline",
            *found,
            about,
            margin=0.02,
            zero_one=False,
        )
