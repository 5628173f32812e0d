"""TR124: metric by metric, whether two runtimes are equivalent; the metrics are one family."""

from inferometer.analysis import Ledger
from inferometer.quality import entries
from inferometer.stats import compare
from inferometer.stats.tost_result import ALPHA

YES, NO = "yes", "not shown"
DIFFERENCE, ALIKE = ".difference", ".alike"


def enter(ledger: Ledger, compared) -> None:  # type: ignore[no-untyped-def]
    """Enter `<...>.alike` beside each difference that has a margin, the composite's apart.

    The composite is a declared hypothesis; what it is made of is a family of its own, a SUT's.
    """
    families: dict[str, list[str]] = {}
    for name in compared.tests:
        sut, runtime, metric = name.removesuffix(DIFFERENCE).partition(".runtime.")
        if runtime and metric != "composite" and name in compared.margins:
            families.setdefault(sut, []).append(name)
    for names in families.values():
        _family(ledger, compared, names)


def _family(ledger: Ledger, compared, names: list[str]) -> None:  # type: ignore[no-untyped-def]
    tested = {
        name: entries.equivalent(compared.tests[name], compared.margins[name]) for name in names
    }
    ps = {name: p for name, (_, p) in tested.items() if p is not None}
    adjusted = dict(zip(ps, compare.holm(list(ps.values())).p_adjusted, strict=True)) if ps else {}
    for name, (_, p) in tested.items():
        found = ledger.findings[name]
        if p is None:
            value, said = NO, found.no_interval
        else:
            value = YES if adjusted[name] < ALPHA else NO
            said = f"p {p:.3g}, adjusted {adjusted[name]:.3g} over {len(ps)} metrics"
        ledger.add(
            name.removesuffix(DIFFERENCE) + ALIKE,
            f"equivalent within {compared.margins[name]:g} {found.unit}".rstrip()
            + f": {found.title}",
            value,
            n=found.n,
            n_of=found.n_of,
            where=found.rows.where,
            estimator="paired two one-sided tests within the margin, Holm over the metrics",
            no_interval="a decision; the interval is that of the difference",
            notes=said,
        )
