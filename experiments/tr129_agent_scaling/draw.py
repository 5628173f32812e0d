"""TR129: its figures, drawn from the findings; raw points are block values."""

import numpy as np
import pandas as pd

from inferometer.analysis import Ledger
from inferometer.reporting import figures as house


def figures(ledger: Ledger, suts: dict, table: pd.DataFrame) -> dict:
    """File name -> figure."""
    with house.style():
        drawn = {
            "throughput": _throughput(ledger, suts),
            "efficiency": _efficiency(ledger, suts),
            "latency": _latency(ledger, suts),
            "fairness": _fairness(ledger, suts),
        }
        if (table["think_ms"] > 0).any():
            drawn["think-time"] = _think(ledger, suts, table)
    return drawn


def _measured(axes, ledger: Ledger, seen, key: str, column: str, series: int, scale=1.0) -> None:  # type: ignore[no-untyped-def]
    """Points with intervals by N, and the blocks' own values."""
    names = {n: f"{seen.sut}.{key}.n{n}" for n in seen.levels}
    levels, found = house.estimates(ledger.findings, names)
    raw = (list(seen.cells["agents"]), list(seen.cells[column] * scale))
    shift = 0.06 * (series - 0.5)
    house.points(axes, levels, found, seen.label, series, raw=raw, shift=shift)


def _throughput(ledger: Ledger, suts: dict):  # type: ignore[no-untyped-def]
    figure, axes = house.panel(
        "Total throughput against the number of agents", "agents N", "tokens per second"
    )
    for series, seen in enumerate(suts.values()):
        _measured(axes, ledger, seen, "throughput", "throughput", series)
        n = np.linspace(1, max(seen.levels), 100)
        x1 = seen.amdahl.x1
        ends = seen.amdahl.ci_profile
        band = None
        if ends is not None and ends[1] is not None:
            band = tuple(x1 * n / (1 + s * (n - 1)) for s in (ends[1], ends[0]))
        house.curve(axes, n, x1 * n * seen.amdahl.efficiency(n), "Amdahl's law", series, band=band)
        usl = seen.usl
        fitted = usl.gamma * n / (1 + usl.alpha * (n - 1) + usl.beta * n * (n - 1))
        house.curve(axes, n, fitted, "USL", series, dash="--")
    axes.set_ylim(bottom=0)
    house.whole_levels(axes, sorted({n for seen in suts.values() for n in seen.levels}))
    house.legend(axes, columns=2)
    return figure


def _efficiency(ledger: Ledger, suts: dict):  # type: ignore[no-untyped-def]
    figure, axes = house.panel(
        "Efficiency per agent, against N = 1 of the same block", "agents N", "eta(N)"
    )
    for series, seen in enumerate(suts.values()):
        levels = [n for n in seen.levels if n > 1]
        names = {n: f"{seen.sut}.eta.n{n}" for n in levels}
        shown, found = house.estimates(ledger.findings, names)
        alone = seen.at(1, "per_agent")
        raw_x, raw_y = [], []
        for n in levels:
            eta = (seen.at(n, "per_agent") / alone).dropna()
            raw_x += [n] * len(eta)
            raw_y += list(eta)
        shift = 0.06 * (series - 0.5)
        house.points(axes, shown, found, seen.label, series, raw=(raw_x, raw_y), shift=shift)
        n = np.linspace(1, max(seen.levels), 100)
        house.curve(axes, n, seen.amdahl.efficiency(n), "Amdahl's law", series)
    axes.axhline(0.5, color="#555555", linewidth=1, linestyle=":", label="one half (N*)")
    axes.set_ylim(bottom=0)
    house.whole_levels(axes, sorted({n for seen in suts.values() for n in seen.levels}))
    house.legend(axes, columns=2)
    return figure


def _latency(ledger: Ledger, suts: dict):  # type: ignore[no-untyped-def]
    figure, row = house.panels(
        [seen.label for seen in suts.values()], "agents N", "mean latency of a request, seconds"
    )
    parts = {"prefill": "prefill", "decode": "decode", "queue_wait": "queue wait, HTTP, client"}
    for axes, seen in zip(row, suts.values(), strict=True):
        axes.title.set_fontsize(10)
        sizes = {
            text: [
                float(ledger.findings[f"{seen.sut}.{key}.n{n}"].value or 0.0) for n in seen.levels
            ]
            for key, text in parts.items()
        }
        house.stacked(axes, [str(n) for n in seen.levels], sizes)
    house.legend(row[0], columns=3)
    return figure


def _fairness(ledger: Ledger, suts: dict):  # type: ignore[no-untyped-def]
    figure, axes = house.panel(
        "Fairness: Jain's index over agents (1 is equal shares)", "agents N", "Jain's index"
    )
    for series, seen in enumerate(suts.values()):
        _measured(axes, ledger, seen, "jain", "jain", series)
    axes.axhline(0.997, color="#555555", linewidth=1, linestyle=":", label="published bound, .997")
    house.whole_levels(axes, sorted({n for seen in suts.values() for n in seen.levels}))
    house.legend(axes, columns=2)
    return figure


def _think(ledger: Ledger, suts: dict, table: pd.DataFrame):  # type: ignore[no-untyped-def]
    figure, row = house.panels(
        ["Sustained, all agents", "As one request sees it"],
        "think time, milliseconds",
        "tokens per second",
    )
    levels = sorted(table["think_ms"].unique())
    agents = table[table["think_ms"] == levels[-1]]["agents"].iloc[0]
    keys = (("sustained", "throughput"), ("request_rate", "request_rate"))
    for axes, (key, column) in zip(row, keys, strict=True):
        for series, seen in enumerate(suts.values()):
            chosen = table[(table["sut"] == seen.sut) & (table["agents"] == agents)]
            places = {level: place for place, level in enumerate(levels)}
            names = {places[level]: f"{seen.sut}.{key}.think{level:g}" for level in levels}
            kept, found = house.estimates(ledger.findings, names)
            raw = ([places[level] for level in chosen["think_ms"]], list(chosen[column]))
            shift = 0.1 * (series - 0.5)
            house.points(axes, kept, found, seen.label, series, raw=raw, shift=shift)
        axes.set_ylim(bottom=0)
        axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
    house.legend(row[0])
    return figure
