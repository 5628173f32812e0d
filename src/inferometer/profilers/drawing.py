"""Figures of profiled SUTs, drawn from their findings; raw points are block values."""

from __future__ import annotations

from typing import Any

import pandas as pd

from inferometer.analysis import Ledger
from inferometer.profilers.summary import Profile
from inferometer.reporting import figures as house

X = "sequences at once N"


def against_n(
    ledger: Ledger,
    suts: list[Profile],
    quantity: str,
    title: str,
    y: str,
    *,
    raw: str | None = None,
    log: bool = False,
    ideal: bool = False,
) -> Any:
    """A quantity of several SUTs against N; `raw` is the column of the runs behind it.

    `ideal` draws the line on which a quantity equals N.
    """
    figure, axes = house.panel(title, X, y, height=house.HEIGHT_IN + 0.25 * len(suts))
    levels = sorted({n for seen in suts for n in (seen.levels if raw else seen.traced)})
    for series, seen in enumerate(suts):
        names = {n: f"{seen.sut}.{quantity}.n{n}" for n in levels}
        kept, found = house.estimates(ledger.findings, names)
        points = None
        if raw is not None:
            good = seen.runs.dropna(subset=[raw])
            points = (list(good["agents"]), list(good[raw]))
        shift = 0.08 * (series - (len(suts) - 1) / 2)
        house.points(axes, kept, found, seen.label, series, raw=points, shift=shift)
    if ideal:
        axes.plot(levels, levels, ":", color="#555555", linewidth=1, label="its maximum, N")
    if log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    house.whole_levels(axes, levels)
    house.legend(axes, columns=2)
    return figure


def by_class(suts: list[Profile], unit_s: float, y: str) -> Any:
    """Time per output token by class at the smallest and the largest N of each SUT."""
    figure, axes = house.panel("Time per output token by class", "", y, height=house.HEIGHT_IN + 1)
    tables = {}
    for seen in suts:
        for n in (seen.traced[0], seen.traced[-1]):
            chosen = seen.classes[seen.classes["agents"] == n]
            tables[f"{seen.sut}\nN = {n}"] = chosen.groupby("class")["s_per_token"].mean()
    whole = pd.DataFrame(tables).fillna(0.0)
    order = whole.sum(axis=1).sort_values(ascending=False).index
    most = len(house.PALETTE) - 1
    parts = {label: list(whole.loc[label] / unit_s) for label in order[:most]}
    if len(order) > most:
        parts["all other classes"] = list(whole.loc[order[most:]].sum() / unit_s)
    house.stacked(axes, list(tables), parts)
    axes.tick_params(axis="x", labelsize=8, labelrotation=60 if len(tables) > 4 else 0)
    house.legend(axes, columns=3)
    return figure
