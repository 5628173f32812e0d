"""TR127: its figures, drawn from the findings; raw points are block values."""

from typing import Any

import numpy as np

from inferometer.analysis import Ledger
from inferometer.reporting import figures as house

MIB = 2**20
X = "context, prompt tokens"


def figures(ledger: Ledger, suts: dict) -> dict[str, Any]:
    """File name -> figure; only those whose SUTs were measured."""
    free = [s for s in suts.values() if not s.limited and s.timed and s.sut != "llamacpp-repeated"]
    workers = [s for s in free if s.worker]
    drawn: dict[str, Any] = {}
    with house.style():
        if free:
            drawn["prefill"] = _prefill(ledger, free, "Prefill of unique prompts")
            drawn["decode"] = _times(ledger, free, "decode", "Time per token after the first")
        if workers:
            drawn["memory"] = _memory(ledger, workers)
        artefact = [suts[n] for n in ("llamacpp", "llamacpp-repeated") if n in suts]
        if len(artefact) == 2:
            drawn["artefact"] = _prefill(ledger, artefact, "One text repeated is no prefill")
        spill = [suts[n] for n in ("llamacpp", "llamacpp-capped") if n in suts]
        if len(spill) == 2 and spill[1].timed:
            drawn["spill"] = _spill(ledger, spill)
    return drawn


def _estimates(
    ledger: Ledger, seen: Any, key: str, scale: float = 1.0
) -> tuple[list[int], list[house.Estimate]]:
    """Contexts at which a finding of a SUT is defined, and its estimates."""
    names = {context: f"{seen.sut}.{key}.c{context}" for context in seen.levels}
    return house.estimates(ledger.findings, names, scale)


def _points(axes: Any, ledger: Ledger, seen: Any, key: str, column: str, series: int) -> None:
    kept, found = _estimates(ledger, seen, key)
    good = seen.cells[seen.cells[column].notna()]
    raw = (list(good["context"]), list(good[column]))
    house.points(axes, kept, found, seen.label, series, raw=raw)


def _log_levels(axes: Any, seen: list[Any], both: bool) -> None:
    axes.set_xscale("log", base=2)
    if both:
        axes.set_yscale("log")
    house.whole_levels(axes, sorted({level for sut in seen for level in sut.timed}))
    axes.minorticks_off()
    axes.tick_params(axis="x", labelrotation=45)


def _panel(title: str, x: str, y: str, entries: int) -> tuple[Any, Any]:
    """A panel that keeps its size however long its legend is."""
    return house.panel(title, x, y, height=house.HEIGHT_IN + 0.2 * entries)


def _prefill(ledger: Ledger, suts: list[Any], title: str) -> Any:
    """Points, intervals and the fitted power law, on two logarithmic axes."""
    figure, axes = _panel(title, X, "seconds, warm", len(suts))
    for series, seen in enumerate(suts):
        _points(axes, ledger, seen, "prefill", "prefill_s", series)
        if seen.prefill is not None:
            line = seen.prefill.loglog
            x = np.geomspace(min(seen.timed), max(seen.timed), 50)
            axes.plot(
                x, line.a * x**line.b, color=house.PALETTE[series % len(house.PALETTE)], linewidth=1
            )
    _log_levels(axes, suts, both=True)
    house.legend(axes)
    return figure


def _times(ledger: Ledger, suts: list[Any], key: str, title: str) -> Any:
    figure, axes = _panel(title, X, "seconds, warm", len(suts))
    for series, seen in enumerate(suts):
        _points(axes, ledger, seen, key, f"{key}_s", series)
    _log_levels(axes, suts, both=False)
    axes.set_ylim(bottom=0)
    house.legend(axes)
    return figure


def _memory(ledger: Ledger, suts: list[Any]) -> Any:
    """Peaks of prefill and decode, with the prediction for prefill."""
    figure, row = house.panels(["Prefill", "Decode"], X, "MiB, peak", height=house.HEIGHT_IN + 1.2)
    for axes, part in zip(row, ("prefill", "decode"), strict=True):
        for series, seen in enumerate(suts):
            kept, found = _estimates(ledger, seen, f"peak_{part}", 1 / MIB)
            house.points(axes, kept, found, seen.label, series)
            if part == "prefill":
                at, predicted = _estimates(ledger, seen, "peak_predicted", 1 / MIB)
                colour = house.PALETTE[series % len(house.PALETTE)]
                axes.plot(at, [e.value for e in predicted], "--", color=colour, linewidth=1)
        _log_levels(axes, suts, both=False)
        axes.set_ylim(bottom=0)
    house.legend(row[0])
    return figure


def _spill(ledger: Ledger, suts: list[Any]) -> Any:
    """Time per token with and without the limit, and where the break was predicted."""
    figure, axes = _panel(
        "Decode under a memory limit and without it", X, "seconds per token, warm", 3
    )
    for series, seen in enumerate(suts):
        _points(axes, ledger, seen, "decode", "decode_s", series)
    predicted = ledger.findings.get("spill.predicted")
    if predicted is not None and predicted.value is not None:
        label = "limit reached by arithmetic"
        axes.axvline(float(predicted.value), color="#555555", linestyle=":", label=label)
    _log_levels(axes, suts, both=True)
    house.legend(axes)
    return figure
