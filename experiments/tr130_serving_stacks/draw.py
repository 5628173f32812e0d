"""TR130: its figures, drawn from the findings; raw points are block values."""

from collections.abc import Callable

import numpy as np

from inferometer.analysis import Ledger
from inferometer.economics.blends import BLENDS
from inferometer.reporting import figures as house
from inferometer.scaling import Cells, Scaling

Arms = dict[str, Cells]


def figures(ledger: Ledger, same: Arms, best: Arms, laws: dict[str, Scaling], kinds: dict) -> dict:
    """File name -> figure."""
    drawn = {}
    with house.style():
        if same:
            drawn["throughput"] = _over_n(
                ledger,
                same,
                "throughput",
                "throughput",
                "Total throughput, same weights and precision",
                "tokens per second",
                laws,
            )
            drawn["ttft"] = _over_n(
                ledger,
                same,
                "ttft",
                "ttft_s",
                "Time to first token, same weights and precision",
                "seconds",
            )
            drawn["latency"] = _over_n(
                ledger,
                same,
                "latency",
                "latency_s",
                "Latency of a request, same weights and precision",
                "seconds",
            )
            drawn["efficiency"] = _efficiency(ledger, same)
        if best:
            drawn["precision"] = _over_n(
                ledger,
                best,
                "throughput",
                "throughput",
                "Total throughput, each stack at its best precision",
                "tokens per second",
                laws,
            )
        if kinds:
            drawn["workloads"] = _workloads(ledger, kinds)
    return drawn


def _points(  # type: ignore[no-untyped-def]
    axes, ledger: Ledger, name: Callable[[int], str], arm: Cells, series: int, raw, of: int
) -> None:
    levels, found = house.estimates(ledger.findings, {n: name(n) for n in arm.levels})
    shift = 0.12 * (series - (of - 1) / 2)
    house.points(axes, levels, found, arm.label, series, raw=raw, shift=shift)


def _over_n(  # type: ignore[no-untyped-def]
    ledger: Ledger, arms: Arms, key: str, column: str, title: str, unit: str, laws=None
):
    figure, axes = house.panel(title, "agents N", unit)
    for series, (sut, arm) in enumerate(arms.items()):
        raw = (list(arm.cells["agents"]), list(arm.cells[column]))
        _points(axes, ledger, lambda n, s=sut: f"{s}.{key}.n{n}", arm, series, raw, len(arms))
        if laws and sut in laws:
            fit = laws[sut].usl
            n = np.linspace(1, max(arm.levels), 100)
            curve = fit.gamma * n / (1 + fit.alpha * (n - 1) + fit.beta * n * (n - 1))
            house.curve(axes, n, curve, "", series, dash="--")
    _finish(axes, arms)
    return figure


def _efficiency(ledger: Ledger, arms: Arms):  # type: ignore[no-untyped-def]
    title = "Efficiency per agent, against N = 1 of the same block"
    figure, axes = house.panel(title, "agents N", "eta(N)")
    for series, (sut, arm) in enumerate(arms.items()):
        _points(axes, ledger, lambda n, s=sut: f"{s}.eta.n{n}", arm, series, None, len(arms))
    _finish(axes, arms)
    return figure


def _finish(axes, arms: Arms) -> None:  # type: ignore[no-untyped-def]
    axes.set_ylim(bottom=0)
    house.whole_levels(axes, sorted({n for arm in arms.values() for n in arm.levels}))
    house.legend(axes, columns=2)


def _workloads(ledger: Ledger, kinds: dict[str, Arms]):  # type: ignore[no-untyped-def]
    """Requests per second, one panel an N, one place a kind of work; on a log scale."""
    suts = {sut: arm.label for arms in kinds.values() for sut, arm in arms.items()}
    levels = sorted({n for arms in kinds.values() for arm in arms.values() for n in arm.levels})
    figure, row = house.panels([f"N = {n}" for n in levels], "", "requests per second")
    for axes, n in zip(row, levels, strict=True):
        for series, (sut, label) in enumerate(suts.items()):
            names = {at: f"{sut}.requests.{kind}.n{n}" for at, kind in enumerate(kinds)}
            places, seen = house.estimates(ledger.findings, names)
            shift = 0.15 * (series - (len(suts) - 1) / 2)
            blocks = [
                (at, value)
                for at, arms in enumerate(kinds.values())
                for value in (arms[sut].at(n, "requests") if sut in arms else ())
            ]
            raw = ([at for at, _ in blocks], [value for _, value in blocks])
            house.points(axes, places, seen, label, series, raw=raw, shift=shift)
        axes.set_xticks(range(len(kinds)), [BLENDS[kind].name for kind in kinds], rotation=45)
        axes.set_yscale("log")
    house.legend(row[0], columns=2)
    return figure
