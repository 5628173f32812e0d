"""TR124: what a million generated tokens cost with each SUT, and which SUTs nothing dominates."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from inferometer.analysis import Ledger
from inferometer.economics import money, prices
from inferometer.experiments import Experiment
from inferometer.load import summary
from inferometer.quality import entries
from inferometer.quantization import score_name
from inferometer.scaling import enter_mean
from inferometer.stats import intervals, pareto


@dataclass
class Costs:
    """SUT -> label of those on the map of quality against cost; what is to be noted."""

    labels: dict[str, str] = field(default_factory=dict)
    frontier: list[str] = field(default_factory=list)
    unit: str = ""
    notes: list[str] = field(default_factory=list)


def enter(ledger: Ledger, experiment: Experiment, suts) -> Costs:  # type: ignore[no-untyped-def]
    """Enter throughput, cost and the Pareto frontier at the lowest rent in `config/prices.yaml`."""
    cells = _cells(ledger)
    if cells.empty:
        return Costs()
    known = prices.load(experiment.folder.parents[1] / prices.PRICES_FILE)
    name = min(known.tiers, key=lambda one: known.tiers[one].per_hour)
    tier = known.tiers[name]
    costs = Costs(unit=f"{tier.currency}/million")
    ledger.add(
        "price",
        f"{tier.title}, an hour",
        tier.per_hour,
        unit=f"{tier.currency}/h",
        n=1,
        n_of="price",
        where={"kind": "price"},
        estimator=f"read from {prices.PRICES_FILE}",
        no_interval="a listed figure, not an estimate",
        notes=f"of {tier.date}; {tier.source}; for {tier.hardware}",
    )
    costs.notes.append(
        f"Costs are the measured machine's speed at [[price]], the lowest rent in "
        f"`{prices.PRICES_FILE}`, which is that of `{tier.hardware}`."
    )
    most = int(cells["agents"].max())
    for sut in [sut for sut in suts if sut in set(cells["sut"])]:
        own = cells[(cells["sut"] == sut) & (cells["agents"] == most)]
        values = own.set_index("block")["throughput"].dropna()
        where = {"kind": "request", "sut": sut, "phase": "speed", "agents": most}
        where["cell_valid"] = True
        title = f"total throughput of {sut} at N = {most}"
        enter_mean(ledger, f"{sut}.throughput.n{most}", title, values, "tokens/s", where)
        _cost(ledger, sut, values.to_numpy(float), tier, costs.unit, where)
        if _plotted(ledger, sut):
            costs.labels[sut] = suts[sut].label
    _frontier(ledger, costs)
    return costs


def _cells(ledger: Ledger) -> pd.DataFrame:
    """One row a valid cell of the closed loop, with its throughput."""
    rows = entries.selected(ledger, {"kind": "request", "cell_valid": True})
    if rows.empty:
        return rows
    typed = rows.assign(
        cell_valid=True, agents=rows["agents"].astype(int), in_window=rows["in_window"].astype(bool)
    )
    return summary.cells(typed, ["agents"])


def _cost(ledger: Ledger, sut: str, rates: np.ndarray, tier, unit: str, where) -> None:  # type: ignore[no-untyped-def]
    each = [money.cost_per_million(tier.per_hour, rate) for rate in rates]
    seen = intervals.mean_of_blocks(each) if each else None
    ledger.add(
        f"{sut}.cost",
        f"cost of a million generated tokens with {sut}",
        seen.estimate if seen else None,
        unit=unit,
        ci=(max(0.0, seen.ci[0]), seen.ci[1]) if seen and seen.ci else None,
        n=len(each),
        where=where,
        estimator="hourly price over throughput, mean over blocks, t interval",
        no_interval=seen.reason if seen else None,
        reason="its throughput was not measured",
    )


def _plotted(ledger: Ledger, sut: str) -> bool:
    names = (score_name(sut, "composite"), f"{sut}.cost")
    found = [ledger.findings.get(name) for name in names]
    return all(one is not None and one.value is not None for one in found)


def _frontier(ledger: Ledger, costs: Costs) -> None:
    """The SUTs that no other beats on both quality and cost, by their estimates."""
    if not costs.labels:
        return
    names = list(costs.labels)
    points = [
        {
            "quality": ledger.findings[score_name(sut, "composite")].value,
            "cost": ledger.findings[f"{sut}.cost"].value,
        }
        for sut in names
    ]
    kept = pareto.frontier(points, minimise=["cost"], maximise=["quality"]).indices
    costs.frontier = [names[index] for index in kept]
    ledger.add(
        "pareto",
        "SUTs that no other beats on both composite and cost",
        ", ".join(costs.frontier),
        n=len(names),
        n_of="SUTs",
        where={"kind": ["request", "score"], "sut": names},
        estimator="stats.pareto.frontier of the estimates",
        no_interval="a set of SUTs; the intervals of their coordinates are in the figure",
    )
