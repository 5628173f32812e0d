"""Figures of the statistics report: each share with its Monte-Carlo interval and its band."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

from inferometer.stats.checking.cells import Outcome

BLUE, GREEN, BLACK = "#0072B2", "#009E73", "#000000"
RED, PURPLE, ORANGE, SKY = "#D55E00", "#CC79A7", "#E69F00", "#56B4E9"
OURS = ((BLUE, "o"), (GREEN, "D"), (BLACK, "*"), (BLUE, "X"), (GREEN, "h"))
SHORTCUTS = ((RED, "v"), (PURPLE, "s"), (ORANGE, "^"), (SKY, "P"), (RED, "<"))
FORMATS = ("svg", "png")


def draw(outcomes: list[Outcome], folder: Path, stem: str) -> None:
    """Draw one panel per quantity and save it as SVG and PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = stem
    import matplotlib.pyplot as plt

    quantities = list(dict.fromkeys(outcome.quantity for outcome in outcomes))
    panels = [[o for o in outcomes if o.quantity == quantity] for quantity in quantities]
    heights = [len({o.setting for o in panel}) + 2.2 for panel in panels]
    figure, axes = plt.subplots(
        len(panels),
        1,
        figsize=(9, 0.3 * sum(heights) + 0.6),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    styles = _styles(outcomes)
    for axis, quantity, panel in zip(axes[:, 0], quantities, panels, strict=True):
        _panel(axis, quantity, panel, styles)
    folder.mkdir(parents=True, exist_ok=True)
    for kind in FORMATS:
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(folder / f"{stem}.{kind}", dpi=130, metadata=metadata)
    plt.close(figure)


def _styles(outcomes: list[Outcome]) -> dict[str, tuple[str, str, bool]]:
    """Return colour, marker and whether it is ours, by method; the same in all panels."""
    ours = list(dict.fromkeys(o.method for o in outcomes if o.band is not None))
    others = [m for m in dict.fromkeys(o.method for o in outcomes) if m not in ours]
    styles = {m: (*style, True) for m, style in zip(ours, cycle(OURS), strict=False)}
    return styles | {m: (*style, False) for m, style in zip(others, cycle(SHORTCUTS), strict=False)}


def _panel(
    axis: Any, quantity: str, panel: list[Outcome], styles: dict[str, tuple[str, str, bool]]
) -> None:
    settings = list(dict.fromkeys(outcome.setting for outcome in panel))
    methods = [method for method in styles if any(o.method == method for o in panel)]
    for row, setting in enumerate(settings):
        for band in {o.band for o in panel if o.setting == setting and o.band is not None}:
            axis.barh(row, band.high - band.low, 0.86, band.low, color="#D9E8F2", zorder=0)
    for method in methods:
        colour, marker, is_ours = styles[method]
        points = [o for o in panel if o.method == method]
        axis.errorbar(
            [o.share for o in points],
            [settings.index(o.setting) + _offset(o, panel, methods) for o in points],
            xerr=[1.96 * o.error for o in points],
            fmt=marker,
            color=colour,
            markerfacecolor=colour if is_ours else "white",
            markersize=5,
            linewidth=1,
            label=method + (" (ours)" if is_ours else ""),
        )
    axis.set_yticks(range(len(settings)), settings, fontsize=8)
    axis.set_ylim(len(settings) - 0.5, -0.5)
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel(f"share of simulations: {_label(quantity)}", fontsize=9)
    axis.grid(axis="x", color="#DDDDDD", linewidth=0.6, zorder=0)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _offset(outcome: Outcome, panel: list[Outcome], methods: list[str]) -> float:
    """Return the vertical place of a point among the methods of its setting."""
    here = [m for m in methods if any((o.setting, o.method) == (outcome.setting, m) for o in panel)]
    return 0.16 * (here.index(outcome.method) - (len(here) - 1) / 2)


def _label(quantity: str) -> str:
    named = quantity.startswith(("break", "3-sigma", "true null", "sameness", "Amdahl s below"))
    return quantity if named else f"interval covers the true {quantity}"
