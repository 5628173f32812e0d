"""TR125: what each level loses against the baseline on the same items."""

from typing import Any

from inferometer import quantization as names
from inferometer.analysis import Ledger, Where
from inferometer.quality import entries, picked, tiers
from inferometer.quality.benchmarks import BENCHMARKS
from inferometer.quality.paired import PairedAccuracy
from inferometer.stats import compare

MARGIN_PP = -tiers.PASS.least_pp
MARGIN_COMPOSITE = 0.02
UNASKED = "no item has a score here and at the baseline"
Tested = dict[tuple[str, str], tuple[PairedAccuracy, Where]]
"""(level, benchmark) -> what was compared, and its rows."""


def enter(ledger: Ledger, model: Any, quality: Any) -> None:
    """Differences, tiers, the worst benchmark and compatibility of every level; its tests."""
    if model.baseline is None:
        return
    tested: Tested = {}
    for one in model.levels:
        tested |= _differences(ledger, one, model.baseline, quality)
        _worst(ledger, one, model.baseline, list(quality.ASKED))
        _compatible(ledger, one, model.baseline, list(quality.ASKED))
        _letters(ledger, one, model.baseline, quality)
        _composite(ledger, one, model.baseline, quality)
        _picks(ledger, one, model.baseline)
    _tests(ledger, tested)


def _differences(ledger: Ledger, one: Any, base: Any, quality: Any) -> Tested:
    """Differences whose intervals hold together over the benchmarks, and their tiers."""
    confidence = 1 - 0.05 / len(quality.ASKED)
    tested: Tested = {}
    for benchmark, select in quality.ASKED.items():
        name = names.difference_name(one.model, one.level, benchmark)
        title = f"right answers on {benchmark}, {one.name} minus the baseline"
        where, sides = select(one, base), quality.pair(ledger, benchmark, one, base)
        shared: dict[str, Any] = {"margin": MARGIN_PP, "zero_one": True, "confidence": confidence}
        seen = entries.enter_difference(ledger, name, title, *sides, where, **shared)
        if isinstance(seen, PairedAccuracy):
            tested[one.name, benchmark] = seen, where
        else:
            how = "quality.paired"
            ledger.add(name, title, None, n=0, where=where, estimator=how, reason=UNASKED)
        _tier(ledger, one, benchmark, where)
    return tested


def _worst(ledger: Ledger, one: Any, base: Any, asked: list[str]) -> None:
    """The least difference; undefined where a benchmark was not asked, however bad the others."""
    seen = {b: ledger.findings[names.difference_name(one.model, one.level, b)] for b in asked}
    unknown = [benchmark for benchmark, found in seen.items() if found.value is None]
    lowest = None if unknown else min(seen, key=lambda b: float(seen[b].value or 0))
    where: Where = {"kind": "score", "sut": [*one.suts, *base.suts]}
    ledger.add(
        names.difference_name(one.model, one.level, names.WORST),
        f"right answers where {one.name} loses most, minus the baseline",
        seen[lowest].value if lowest else None,
        unit="pp",
        ci=tiers.worst([names.ends(found) for found in seen.values()]) if lowest else None,
        n=min(found.n for found in seen.values()),
        n_of="items",
        where=where,
        estimator="least difference over the benchmarks; intervals hold together (Bonferroni)",
        no_interval=None if lowest else "no value",
        reason=f"what is lost on {', '.join(unknown)} is not known: it was not asked",
        notes=f"on {lowest}" if lowest else None,
    )
    _tier(ledger, one, names.WORST, where)


def _tier(ledger: Ledger, one: Any, benchmark: str, where: Where) -> None:
    found = ledger.findings[names.difference_name(one.model, one.level, benchmark)]
    seen = tiers.tier(names.ends(found))
    ledger.add(
        names.tier_name(one.model, one.level, benchmark),
        f"tier of {one.name}, {benchmark}",
        None if found.value is None else seen.tier,
        n=found.n,
        n_of="items",
        where=where,
        estimator="quality.tiers: the tier that holds the whole interval",
        no_interval="a name",
        reason=found.reason,
        notes=seen.reason,
    )


def _compatible(ledger: Ledger, one: Any, base: Any, asked: list[str]) -> None:
    found = {b: ledger.findings[names.difference_name(one.model, one.level, b)] for b in asked}
    key = (one.model, one.level)
    items = sum(finding.n for finding in found.values())
    (cell,) = tiers.compatibility({key: {b: names.ends(f) for b, f in found.items()}}).values()
    ledger.add(
        names.compatible_name(*key),
        f"whether {one.name} is compatible: loses no more than 5 pp on every benchmark",
        cell.outcome if items else None,
        n=items,
        n_of="items",
        where={"kind": "score", "sut": [*one.suts, *base.suts]},
        estimator="quality.tiers.compatibility: whole intervals on one side of the bound",
        no_interval="a name",
        reason=UNASKED,
        notes=cell.reason,
    )


def _tests(ledger: Ledger, tested: Tested) -> None:
    """Two families of p-values, Holm in each over the levels and benchmarks of a model."""
    changed = {key: _p(seen) for key, (seen, _) in tested.items()}
    same = {key: seen.equivalence.p for key, (seen, _) in tested.items()}
    _family(ledger, tested, changed, "changed_p", "p that nothing changed", "exact McNemar")
    title = f"p that it is {MARGIN_PP:g} pp or more apart"
    _family(ledger, tested, same, "same_p", title, "TOST on the same items")
    for (name, benchmark), (seen, where) in tested.items():
        _changed(ledger, name, benchmark, seen, where)


def _family(
    ledger: Ledger,
    tested: Tested,
    every: dict[tuple[str, str], float | None],
    suffix: str,
    title: str,
    how: str,
) -> None:
    known = {key: p for key, p in every.items() if p is not None}
    adjusted = compare.holm(list(known.values())).p_adjusted if known else ()
    for (name, benchmark), p in zip(known, adjusted, strict=True):
        seen, where = tested[name, benchmark]
        test = "t over clusters" if seen.method == "t over clusters" else how
        ledger.add(
            f"{name}.{benchmark}.{suffix}",
            f"{title}, {name}, {benchmark}",
            float(p),
            n=seen.n,
            n_of="items",
            where=where,
            estimator=f"{test}; Holm over levels and benchmarks",
            no_interval="a p-value",
        )


def _p(seen: PairedAccuracy) -> float:
    """By clusters where items have them; without a changed item nothing speaks of a change."""
    if seen.p_clustered is not None:
        return seen.p_clustered
    return 1.0 if seen.tests.p_exact is None else seen.tests.p_exact


def _changed(ledger: Ledger, name: str, benchmark: str, seen: PairedAccuracy, where: Where) -> None:
    """How many items the level gets right and the baseline wrong, and the other way round."""
    gained, lost = seen.table[0][1], seen.table[1][0]
    for suffix, count, title in (
        ("gained", gained, "right only at"),
        ("lost", lost, "wrong only at"),
    ):
        ledger.add(
            f"{name}.{benchmark}.{suffix}",
            f"items of {benchmark} {title} {name}",
            count,
            n=seen.n,
            n_of="items",
            where=where,
            estimator="counted on the items that both have",
            no_interval="a count",
        )


def _letters(ledger: Ledger, one: Any, base: Any, quality: Any) -> None:
    for benchmark in [name for name in quality.ASKED if name != quality.TASKS]:
        about = quality.letters(benchmark)(one, base)
        sides = [quality.scores(ledger, about, each.served) for each in (one, base)]
        name = f"{one.name}.{benchmark}.letter_difference"
        title = f"right letters on {benchmark}, {one.name} minus the baseline"
        shared: dict[str, Any] = {"margin": MARGIN_PP, "zero_one": True}
        entries.enter_difference(ledger, name, title, *sides, about, **shared)


def _composite(ledger: Ledger, one: Any, base: Any, quality: Any) -> None:
    about = quality.answers(one, base)
    rows = entries.selected(ledger, about)
    sides = [entries.composite(rows[rows["sut"] == each.served]) for each in (one, base)]
    name, title = f"{one.name}.composite_difference", f"composite, {one.name} minus the baseline"
    shared: dict[str, Any] = {"margin": MARGIN_COMPOSITE, "zero_one": False}
    entries.enter_difference(ledger, name, title, *sides, about, **shared)


def _picks(ledger: Ledger, one: Any, base: Any) -> None:
    """Whether a level picks the choices of the baseline, right or wrong."""
    if one.inside and base.inside:
        for benchmark in BENCHMARKS:
            pair = [one.inside, base.inside]
            picked.enter_agreement(ledger, f"{one.name}.{benchmark}", pair, benchmark)
