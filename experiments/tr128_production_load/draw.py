"""TR128: its figures, drawn from the findings; raw points are block values."""

from typing import Any

from inferometer.analysis import Ledger
from inferometer.reporting import figures as house

RHO = "rho: offered rate / capacity"


def figures(ledger: Ledger, suts: dict[str, Any]) -> dict[str, Any]:
    """File name -> figure."""
    with house.style():
        drawn = {
            "latency": _latency(ledger, suts),
            "achieved": _share(
                ledger, suts, "achieved_share", "Achieved over offered rate", "ratio", 1.0
            ),
            "backlog": _share(
                ledger, suts, "backlog", "Growth of the number inside", "share of arrivals", 0.0
            ),
            "goodput": _share(
                ledger, suts, "goodput", "Arrivals that meet all objectives", "share", None
            ),
        }
        if any(len(seen.turns) for seen in suts.values()):
            drawn["turns"] = _turns(ledger, suts)
        if any(len(seen.drifts) for seen in suts.values()):
            drawn["drift"] = _drift(ledger, suts)
    return drawn


def _estimates(ledger: Ledger, seen: Any, key: str) -> tuple[list[float], list[house.Estimate]]:
    """Levels of rho at which a finding of a SUT is defined, and its estimates."""
    names = {rho: f"{seen.sut}.{key}.rho{round(100 * rho)}" for rho in seen.levels}
    return house.estimates(ledger.findings, names)


def _latency(ledger: Ledger, suts: dict[str, Any]) -> Any:
    """Mean latency by rho, with the queues of the same arrivals as curves."""
    figure, row = house.panels(
        [seen.label for seen in suts.values()],
        RHO,
        "mean latency from the scheduled time, seconds",
        height=house.HEIGHT_IN + 0.6,
    )
    for axes, seen in zip(row, suts.values(), strict=True):
        axes.title.set_fontsize(10)
        levels, found = _estimates(ledger, seen, "latency")
        raw = (list(seen.load["rho"]), list(seen.load["latency_s"].astype(float)))
        house.points(axes, levels, found, "observed", 0, raw=raw)
        names = {"fast": "one server at the whole capacity", "slow": "slots at the full pace"}
        for series, (queue, label) in enumerate(names.items(), start=1):
            levels, found = _estimates(ledger, seen, f"{queue}_latency")
            if found:
                house.curve(axes, levels, [e.value for e in found], f"queue: {label}", series)
        _steady(axes, ledger, seen)
    row[0].set_ylim(bottom=0)  # shared, and only now known for all
    _legend(row)
    return figure


def _legend(row: list[Any]) -> None:
    """One legend for panels that do not show the same curves."""
    known = set(row[0].get_legend_handles_labels()[1])
    for axes in row[1:]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label not in known:
                known.add(label)
                row[0].plot([], [], handle.get_linestyle(), color=handle.get_color(), label=label)
    house.legend(row[0], columns=2)


def _steady(axes: Any, ledger: Ledger, seen: Any) -> None:
    """M/D/1 in the steady state: predicted wait and the pace of one request."""
    levels, found = _estimates(ledger, seen, "md1_wait")
    pace = ledger.findings[f"{seen.sut}.pace"].value
    if found and pace is not None:
        total = [e.value + float(pace) for e in found]
        house.curve(axes, levels, total, "M/D/1, steady state", 3, dash="--")


def _share(
    ledger: Ledger, suts: dict[str, Any], key: str, title: str, y: str, line: float | None
) -> Any:
    figure, axes = house.panel(title, RHO, y)
    for series, seen in enumerate(suts.values()):
        levels, found = _estimates(ledger, seen, key)
        raw = (list(seen.load["rho"]), list(seen.load[key].astype(float)))
        house.points(axes, levels, found, seen.label, series, raw=raw, shift=0.01 * series)
    if line is not None:
        axes.axhline(line, color="#555555", linewidth=1, linestyle=":", label="steady state")
    house.whole_levels(axes, sorted({rho for seen in suts.values() for rho in seen.levels}))
    house.legend(axes)
    return figure


def _turns(ledger: Ledger, suts: dict[str, Any]) -> Any:
    figure, axes = house.panel("Time to first token by turn", "turn", "seconds")
    series = 0
    for seen in suts.values():
        for history, group in seen.turns.groupby("history"):
            turns = sorted(int(turn) for turn in group["turn"].unique())
            names = {turn: f"{seen.sut}.turns.ttft.{history}.t{turn}" for turn in turns}
            at, found = house.estimates(ledger.findings, names)
            raw = (list(group["turn"]), list(group["ttft_s"]))
            label = f"{seen.label}, history: {history}"
            house.points(axes, at, found, label, series, raw=raw, shift=0.06 * series)
            series += 1
    axes.set_ylim(bottom=0)
    house.legend(axes)
    return figure


def _drift(ledger: Ledger, suts: dict[str, Any]) -> Any:
    """Change over the hold: latency, the server's own time, time per token."""
    figure, axes = house.panel(
        "Change over the hold", "", "change over the hold, share of the mean"
    )
    columns = {"latency": "latency_s", "service": "service_s", "tpot": "tpot_s"}
    for series, seen in enumerate(each for each in suts.values() if len(each.drifts)):
        names = {at: f"{seen.sut}.hold.{key}_drift" for at, key in enumerate(columns)}
        kept, found = house.estimates(ledger.findings, names)
        places, values = [], []
        for place, column in enumerate(columns.values()):
            known = seen.drifts[column].dropna().astype(float)
            places += [place] * len(known)
            values += list(known)
        house.points(axes, kept, found, seen.label, series, raw=(places, values))
    axes.axhline(0, color="#555555", linewidth=1, linestyle=":")
    axes.set_xticks(range(len(columns)), ["latency", "server's own time", "time per token"])
    house.legend(axes)
    return figure
