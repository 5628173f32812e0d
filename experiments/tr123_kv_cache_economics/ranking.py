"""TR123: SUTs in the order of what their tokens cost, and of the energy they need."""

from itertools import pairwise
from typing import Any

from inferometer.analysis import Ledger
from inferometer.economics.blends import DEFAULT_BLEND
from inferometer.economics.estimate import Estimate
from inferometer.economics.work import Blocks, Work


def findings(
    ledger: Ledger, suts: dict[str, Any], entries: Any, priced: Any, works: dict[str, Work]
) -> None:
    """Enter the orders, and the ratios of neighbours; `priced` keeps the orders."""
    _rank(ledger, suts, entries, priced, works)
    _rank_by_energy(ledger, suts, priced)


def _rank(
    ledger: Ledger, suts: dict[str, Any], entries: Any, priced: Any, works: dict[str, Work]
) -> None:
    """SUTs by the time of a million tokens; at one price per hour that is their order by cost."""
    able = {sut: seen for sut, seen in suts.items() if seen.blocks(priced.reference)}
    for blend, work in works.items():
        times = {sut: _seconds(seen.blocks(priced.reference), work) for sut, seen in able.items()}
        order = sorted(times, key=lambda sut: ledger.findings[f"{sut}.seconds.{blend}"].value)
        priced.orders[blend] = order
        for first, second in pairwise(order):
            where = able[first].where(priced.reference) | {"sut": [first, second]}
            entries.enter(
                ledger,
                f"{second}.over_next.{blend}",
                f"time of a million tokens, {blend}: {second} over {first}, the next faster one",
                Estimate.of_ratio(times[second], times[first], ""),
                where,
                estimator=entries.RATIO,
            )
    order = priced.orders[DEFAULT_BLEND]
    if not order:
        return
    ledger.add(
        "ranking.cost",
        f"SUTs by cost at any one price per hour, {DEFAULT_BLEND}, the cheapest first",
        " < ".join(order),
        n=len(order),
        n_of="SUTs",
        where=able[order[0]].where(priced.reference) | {"sut": list(order)},
        estimator="order of the mean times of a million tokens",
        no_interval="an order; the ratios of neighbours have intervals",
    )


def _seconds(blocks: Blocks, work: Work) -> dict[int, float]:
    return {number: work.seconds(block) for number, block in blocks.items()}


def _rank_by_energy(ledger: Ledger, suts: dict[str, Any], priced: Any) -> None:
    order = priced.orders[DEFAULT_BLEND]
    names = [f"{sut}.joules.{DEFAULT_BLEND}" for sut in order]
    reasons = [r for r in (ledger.findings[n].reason for n in names) if r]
    priced.energy_missing = reasons[0] if reasons else ""
    if order and not reasons:
        joules = dict(zip(order, (ledger.findings[n].value for n in names), strict=True))
        priced.energy_order = sorted(order, key=lambda sut: joules[sut])
    ledger.add(
        "ranking.energy",
        f"SUTs by energy per token, {DEFAULT_BLEND}, the least first",
        " < ".join(priced.energy_order) if priced.energy_order else None,
        n=len(order),
        n_of="SUTs",
        where={"kind": "window", "sut": list(order)},
        estimator="order of the mean energies per token",
        no_interval="an order; the energies have intervals",
        reason=priced.energy_missing or "nothing was measured",
    )
