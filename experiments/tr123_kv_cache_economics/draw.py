"""TR123: its figures, drawn from the findings; raw points are block values."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from inferometer.analysis import Ledger
from inferometer.economics.blends import BLENDS, DEFAULT_BLEND
from inferometer.economics.work import DECODE, PREFILL, million
from inferometer.reporting import figures as house

MIB = 2**20
WORKS = {"prefill": PREFILL, "decode": DECODE, DEFAULT_BLEND: million(BLENDS[DEFAULT_BLEND])}


def figures(ledger: Ledger, suts: dict[str, Any], priced: Any) -> dict[str, Any]:
    """File name -> figure."""
    with house.style():
        drawn = {
            "cost-by-phase": _cost_by_phase(ledger, suts, priced),
            "tiers": _tiers(ledger, suts, priced),
            "kv-memory": _kv_memory(ledger, suts),
            "crossover": _crossover(ledger, suts),
            "bounds": _bounds(ledger, suts),
        }
        if any(seen.pairs for seen in suts.values()):
            drawn["cache-gain"] = _cache_gain(ledger, suts)
        if any(_value(ledger, f"{sut}.joules.decode") is not None for sut in suts):
            drawn["energy"] = _energy(ledger, suts)
    return drawn


def _value(ledger: Ledger, name: str) -> float | None:
    finding = ledger.findings.get(name)
    return None if finding is None or finding.value is None else float(finding.value)


def _series(
    axes: Any,
    ledger: Ledger,
    names: Sequence[str],
    label: str,
    series: int,
    shift: float,
    raw: dict[int, list[float]] | None = None,
) -> None:
    """One series of findings at the places 0, 1, 2 ..., with the blocks' own values."""
    kept, found = house.estimates(ledger.findings, dict(enumerate(names)))
    if not kept:
        return
    shown = [(place, value) for place in kept for value in (raw or {}).get(place, [])]
    points = ([place for place, _ in shown], [value for _, value in shown]) if shown else None
    house.points(axes, kept, found, label, series, raw=points, shift=shift)


def _places(axes: Any, labels: Sequence[str], turned: bool = False) -> None:
    axes.set_xticks(range(len(labels)), labels, rotation=30 if turned else 0)
    if turned:
        for text in axes.get_xticklabels():
            text.set_horizontalalignment("right")
    axes.set_xlim(-0.5, len(labels) - 0.5)


def _shift(index: int, count: int) -> float:
    return 0.0 if count < 2 else 0.4 * (index / (count - 1) - 0.5)


def _cost_by_phase(ledger: Ledger, suts: dict[str, Any], priced: Any) -> Any:
    rate = ledger.findings[f"price.{priced.headline}"]
    figure, axes = house.panel(
        f"Cost of a million tokens by phase, at the price {priced.headline}",
        "system under test",
        rate.unit.replace("/h", " per million tokens"),
    )
    for series, part in enumerate(WORKS):
        names = [f"{sut}.cost.{part}.{priced.headline}" for sut in suts]
        hourly = float(rate.value or 0.0)
        raw = {
            place: [
                WORKS[part].seconds(block) / 3600 * hourly
                for block in seen.blocks(priced.reference).values()
            ]
            for place, seen in enumerate(suts.values())
        }
        _series(axes, ledger, names, part, series, _shift(series, len(WORKS)), raw)
    _log_if_wide(axes)
    _places(axes, list(suts), len(suts) > 4)
    house.legend(axes, columns=3)
    return figure


def _tiers(ledger: Ledger, suts: dict[str, Any], priced: Any) -> Any:
    figure, axes = house.panel(
        f"Cost of a million tokens of the {DEFAULT_BLEND} blend at each price",
        "price",
        "cost per million tokens, in the price's currency",
        height=5.4,
    )
    for series, sut in enumerate(suts):
        # an owned machine without measured electricity has only its hours, which are no total
        names = [f"{sut}.cost.{DEFAULT_BLEND}.{rate}" for rate in priced.rates]
        _series(axes, ledger, names, sut, series, _shift(series, len(suts)))
    _log_if_wide(axes)
    _places(axes, priced.rates, turned=True)
    house.legend(axes, columns=2)
    return figure


def _kv_memory(ledger: Ledger, suts: dict[str, Any]) -> Any:
    figure, axes = house.panel(
        "KV cache against context: allocated (points), predicted (lines)",
        "tokens in the cache",
        "KV cache (MiB)",
    )
    for series, (sut, seen) in enumerate(suts.items()):
        held = seen.cells[["kv_tokens", "kv_bytes"]].apply(pd.to_numeric).dropna()
        if held.empty:
            continue
        per_token = _value(ledger, f"{sut}.kv_per_token_predicted") or 0.0
        tokens = np.linspace(0, held["kv_tokens"].max(), 50)
        house.curve(axes, tokens, tokens * per_token / MIB, sut, series)
        once = held.drop_duplicates()
        axes.plot(
            once["kv_tokens"],
            once["kv_bytes"] / MIB,
            house.MARKERS[series % len(house.MARKERS)],
            color=house.PALETTE[series % len(house.PALETTE)],
        )
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    house.legend(axes, columns=2)
    return figure


def _crossover(ledger: Ledger, suts: dict[str, Any]) -> Any:
    figure, axes = house.panel(
        "KV bytes over weight bytes; dotted beyond the model's context",
        "context (tokens)",
        "KV bytes / weight bytes",
    )
    for series, sut in enumerate(suts):
        across, context = _value(ledger, f"{sut}.crossover"), _value(ledger, f"{sut}.context")
        if across is None or context is None:
            continue
        inside = np.geomspace(min(64, context), context, 60)
        house.curve(axes, inside, inside / across, sut, series)
        if across > context:
            beyond = np.geomspace(context, across, 60)
            colour = house.PALETTE[series % len(house.PALETTE)]
            axes.plot(beyond, beyond / across, ":", color=colour, linewidth=1.5)
        marker = house.MARKERS[series % len(house.MARKERS)]
        axes.plot([across], [1.0], marker, color=house.PALETTE[series % len(house.PALETTE)])
    axes.axhline(1.0, color="#555555", linewidth=1, linestyle="--")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    house.legend(axes, columns=2)
    return figure


def _cache_gain(ledger: Ledger, suts: dict[str, Any]) -> Any:
    figure, axes = house.panel(
        "Decode without the KV cache over decode with it",
        "scenario (prompt/generated tokens)",
        "ratio of times per decode step",
    )
    scenarios = _sorted(name for seen in suts.values() for name in seen.pairs)
    for series, (sut, seen) in enumerate(suts.items()):
        names = [f"{sut}.cache_gain.{name.replace('/', '-')}" for name in scenarios]
        raw = {place: _gains(seen, name) for place, name in enumerate(scenarios)}
        _series(axes, ledger, names, sut, series, _shift(series, len(suts)) / 2, raw)
    axes.axhline(1.0, color="#555555", linewidth=1, linestyle="--")
    _log_if_wide(axes)
    _places(axes, scenarios)
    house.legend(axes, columns=2)
    return figure


def _sorted(scenarios: Iterable[str]) -> list[str]:
    """Each scenario once, by prompt and then by output length."""
    return sorted(set(scenarios), key=lambda name: [int(part) for part in name.split("/")])


def _gains(seen: Any, scenario: str) -> list[float]:
    column = "cold_decode_s_per_token"
    slow, fast = seen.at(scenario, column, "off"), seen.at(scenario, column)
    return [slow[block] / fast[block] for block in slow.keys() & fast.keys()]


def _bounds(ledger: Ledger, suts: dict[str, Any]) -> Any:
    figure, row = house.panels(
        ["Prefill", "Decode"],
        "scenario (prompt/generated tokens)",
        "measured rate / measured bound",
    )
    scenarios = _sorted(name for seen in suts.values() for name in seen.scenarios)
    for axes, part in zip(row, ("prefill", "decode"), strict=True):
        for series, sut in enumerate(suts):
            names = [f"{sut}.{part}_of_bound.{name.replace('/', '-')}" for name in scenarios]
            _series(axes, ledger, names, sut, series, _shift(series, len(suts)) / 2)
        axes.axhline(1.0, color="#555555", linewidth=1, linestyle="--")
        axes.set_ylim(bottom=0)
        _places(axes, scenarios, turned=True)
    house.legend(row[0], columns=2)
    return figure


def _energy(ledger: Ledger, suts: dict[str, Any]) -> Any:
    figure, axes = house.panel("Energy per token by phase", "system under test", "joules per token")
    for series, part in enumerate(WORKS):
        names = [f"{sut}.joules.{part}" for sut in suts]
        _series(axes, ledger, names, part, series, _shift(series, len(WORKS)))
    _log_if_wide(axes)
    _places(axes, list(suts), len(suts) > 4)
    house.legend(axes, columns=3)
    return figure


def _log_if_wide(axes: Any) -> None:
    """A logarithmic scale where values span more than a factor of ten."""
    low, high = axes.dataLim.intervaly
    if np.isfinite([low, high]).all() and low > 0 and high > 10 * low:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
