"""TR124: its figures, drawn from the findings."""

from typing import Any

from inferometer.analysis import Ledger
from inferometer.quality.tasks import TASKS
from inferometer.quantization import score_name
from inferometer.reporting import figures as house

HEADLINES = ("composite", *(f"{task}-composite" for task in TASKS))


def figures(ledger: Ledger, suts: dict[str, Any], costs: Any) -> dict:
    """File name -> figure."""
    drawn: dict[str, Any] = {}
    answering = [sut for sut in suts if score_name(sut, "composite") in ledger.findings]
    with house.style():
        if answering:
            drawn["composite"] = _composite(ledger, suts, answering)
        if costs.labels:
            drawn["quality_cost"] = _quality_cost(ledger, costs)
    return drawn


def _composite(ledger: Ledger, suts: dict[str, Any], answering: list[str]) -> Any:
    figure, axes = house.panel("Composite by task, same weights", "", "composite (0 to 1)")
    for series, sut in enumerate(answering):
        names = {at: score_name(sut, key) for at, key in enumerate(HEADLINES)}
        there = {at: name for at, name in names.items() if name in ledger.findings}
        places, found = house.estimates(ledger.findings, there)
        shift = 0.15 * (series - (len(answering) - 1) / 2)
        house.points(axes, places, found, suts[sut].label, series, shift=shift)
    axes.set_xticks(range(len(HEADLINES)), ["all", *TASKS], rotation=30)
    axes.set_ylim(0, 1)
    house.legend(axes)
    return figure


def _quality_cost(ledger: Ledger, costs: Any) -> Any:
    """Each SUT as a point with both intervals."""
    figure, axes = house.panel("Quality against cost", f"cost ({costs.unit})", "composite (0 to 1)")
    for series, (sut, label) in enumerate(costs.labels.items()):
        cost, quality = (
            house.estimates(ledger.findings, {0: name})[1][0]
            for name in (f"{sut}.cost", score_name(sut, "composite"))
        )
        house.points(axes, [cost.value], [quality], label, series)
        if cost.low is not None and cost.high is not None:
            colour = house.PALETTE[series % len(house.PALETTE)]
            axes.hlines(quality.value, cost.low, cost.high, color=colour, linewidth=1)
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1)
    house.legend(axes)
    return figure
