"""TR125: its figures, drawn from the findings."""

from typing import Any

from inferometer import quantization as names
from inferometer.analysis import Ledger
from inferometer.quality import tiers
from inferometer.reporting import figures as house


def figures(ledger: Ledger, found: dict[str, Any]) -> dict:
    """File name -> figure; one of each kind a model."""
    drawn: dict[str, Any] = {}
    with house.style():
        for model in found.values():
            levels = [one for one in model.levels if _there(ledger, one)]
            if levels:
                drawn[f"{model.name}-loss"] = _loss(ledger, model, levels)
            if any(names.kl_name(one.model, one.level) in ledger.findings for one in model.levels):
                drawn[f"{model.name}-tokens"] = _tokens(ledger, model)
            if any(f"{one.name}.throughput" in ledger.findings for one in model.every):
                drawn[f"{model.name}-speed"] = _speed(ledger, model)
    return drawn


def _there(ledger: Ledger, one: Any) -> bool:
    found = names.benchmarks(ledger.findings, one.model, one.level)
    keys = [names.difference_name(one.model, one.level, each) for each in found]
    return any(ledger.findings[key].value is not None for key in keys)


def _loss(ledger: Ledger, model: Any, levels: list[Any]) -> Any:
    """Differences by level, a series a benchmark, with the bounds of the tiers."""
    figure, axes = house.panel(
        f"Right answers lost, {model.name}", "level", "percentage points against F16"
    )
    asked = names.benchmarks(ledger.findings, model.name, levels[0].level)
    for series, benchmark in enumerate(asked):
        there = {
            at: names.difference_name(one.model, one.level, benchmark)
            for at, one in enumerate(levels)
        }
        places, found = house.estimates(ledger.findings, there)
        shift = 0.18 * (series - (len(asked) - 1) / 2)
        house.points(axes, places, found, benchmark, series, shift=shift)
    for bound in tiers.BOUNDS[:-1]:
        axes.axhline(bound.least_pp, color="#777777", linewidth=0.8, linestyle="--")
        label, beside = f"{bound.tier} to here", axes.get_yaxis_transform()
        axes.text(1.01, bound.least_pp, label, fontsize=8, va="center", transform=beside)
    axes.axhline(0, color="#333333", linewidth=0.8)
    _levels(axes, levels)
    house.legend(axes)
    return figure


def _tokens(ledger: Ledger, model: Any) -> Any:
    """Divergence against true bits per weight; levels that coincide lie on one place."""
    figure, axes = house.panel(
        f"Divergence from F16, {model.name}", "bits per weight (true types)", "nats per token"
    )
    drawn: list[house.Estimate] = []
    for series, one in enumerate(model.levels):
        bits = ledger.findings.get(names.bits_name(one.model, one.level))
        if bits is None or bits.value is None:
            continue
        there = {float(bits.value): names.kl_name(one.model, one.level)}
        places, found = house.estimates(ledger.findings, there)
        house.points(axes, places, found, one.level, series)
        drawn += found
    if any(one.value > 0 for one in drawn):  # a copy of the baseline has none
        axes.set_yscale("log")
    house.legend(axes, columns=2)
    return figure


def _speed(ledger: Ledger, model: Any) -> Any:
    figure, axes = house.panel(f"Speed of one agent, {model.name}", "level", "tokens per second")
    there = {at: f"{one.name}.throughput" for at, one in enumerate(model.every)}
    places, found = house.estimates(ledger.findings, there)
    house.points(axes, places, found, "mean over blocks", 0)
    axes.set_ylim(bottom=0)
    _levels(axes, model.every)
    return figure


def _levels(axes: Any, levels: list[Any]) -> None:
    axes.set_xticks(range(len(levels)), [one.level for one in levels])
