"""House style of all figures, the marks they are made of, and files with reproducible bytes.

Draw inside `style()`, with `panel` for the axes and `points`, `curve`, `stacked` for the marks:

>>> with style():
...     figure, axes = panel("Total throughput", "agents", "tokens/s")
...     points(axes, [1, 2], [Estimate(90, 88, 92), Estimate(140, 135, 145)], "one slot", 0)
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferometer import digests
from inferometer.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from inferometer.findings import Finding

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
"""Okabe and Ito's colours, told apart with every common colour blindness."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Shapes go with the colours, so that a figure also reads in grey."""

WIDTH_IN, HEIGHT_IN, DPI = 7.2, 4.2, 150
TITLE_CHARACTERS = 62

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same on every machine
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.dpi": DPI,
    "svg.hashsalt": "inferometer",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; a side that is `None` is open or unknown."""

    value: float
    low: float | None = None
    high: float | None = None


@contextmanager
def style() -> Iterator[None]:
    """The house style, and nothing of the user's own matplotlib settings."""
    import matplotlib as mpl  # here, so that what only reads findings stays quick

    settings: Any = mpl.rcParams
    with mpl.rc_context():
        mpl.rcdefaults()
        settings.update(_STYLE)
        yield


def panel(title: str, x: str, y: str, *, height: float = HEIGHT_IN) -> tuple[Figure, Axes]:
    """One figure with one pair of axes; `x` and `y` are labels with units."""
    figure, row = panels([title], x, y, height=height)
    return figure, row[0]


def panels(
    titles: Sequence[str], x: str, y: str, *, height: float = HEIGHT_IN
) -> tuple[Figure, list[Axes]]:
    """One figure with a row of axes that share the scale of y."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN if len(titles) < 3 else 3.2 * len(titles), height))
    FigureCanvasAgg(figure)
    row = list(figure.subplots(1, len(titles), sharey=True, squeeze=False)[0])
    for axes, title in zip(row, titles, strict=True):
        axes.set_title(textwrap.fill(title, TITLE_CHARACTERS // len(titles)))
        axes.set_xlabel(x)
    row[0].set_ylabel(y)
    return figure, row


def points(
    axes: Axes,
    x: Sequence[float],
    estimates: Sequence[Estimate],
    label: str,
    series: int,
    *,
    raw: tuple[Sequence[float], Sequence[float]] | None = None,
    shift: float = 0.0,
) -> None:
    """Points with intervals, with the raw points (one a block) as hollow circles.

    An open side of an interval is drawn as an arrow; `shift` moves a series sideways so that
    intervals at the same level stay apart.
    """
    colour, marker = PALETTE[series % len(PALETTE)], MARKERS[series % len(MARKERS)]
    if raw is not None:
        places = [at + shift for at in raw[0]]
        axes.scatter(
            places, raw[1], s=22, facecolors="none", edgecolors=colour, alpha=0.6, zorder=3
        )
    down = [_arm(e.value, e.low) for e in estimates]
    up = [_arm(e.value, e.high) for e in estimates]
    axes.errorbar(
        [at + shift for at in x],
        [e.value for e in estimates],
        yerr=[down, up],
        fmt=marker,
        color=colour,
        markersize=6,
        capsize=3,
        linewidth=1.5,
        label=label,
    )
    for at, estimate in zip(x, estimates, strict=True):
        for side, arrow in ((estimate.low, "v"), (estimate.high, "^")):
            if side is None and (estimate.low is not None or estimate.high is not None):
                axes.plot(at + shift, estimate.value, arrow, color=colour, markersize=10, alpha=0.4)


def estimates(
    findings: Mapping[str, Finding], names: Mapping[Any, str], scale: float = 1.0
) -> tuple[list[Any], list[Estimate]]:
    """Places on the x axis whose finding is there and defined, and their estimates for `points`."""
    places, found = [], []
    for place, name in names.items():
        finding = findings.get(name)
        if finding is None or finding.value is None:
            continue
        ends = (finding.interval.low, finding.interval.high) if finding.interval else (None, None)
        scaled = (None if end is None else end * scale for end in ends)
        places.append(place)
        found.append(Estimate(float(finding.value) * scale, *scaled))
    return places, found


def curve(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    label: str,
    series: int,
    *,
    band: tuple[Sequence[float], Sequence[float]] | None = None,
    dash: str = "-",
) -> None:
    """A fitted curve with its band (low, high)."""
    colour = PALETTE[series % len(PALETTE)]
    axes.plot(x, y, dash, color=colour, linewidth=1.5, label=label)
    if band is not None:
        axes.fill_between(x, band[0], band[1], color=colour, alpha=0.15, linewidth=0)


def stacked(axes: Axes, labels: Sequence[str], parts: Mapping[str, Sequence[float]]) -> None:
    """Bars made of parts, as a latency split: queue wait, prefill, decode, client."""
    floor = [0.0] * len(labels)
    for series, (name, sizes) in enumerate(parts.items()):
        axes.bar(
            labels,
            sizes,
            bottom=floor,
            width=0.7,
            color=PALETTE[series % len(PALETTE)],
            edgecolor="white",
            label=name,
        )
        floor = [below + size for below, size in zip(floor, sizes, strict=True)]
    axes.grid(False, axis="x")


def whole_levels(axes: Axes, levels: Sequence[float]) -> None:
    """Ticks at the measured levels and nowhere else."""
    axes.set_xticks(list(levels), [f"{level:g}" for level in levels])


def legend(axes: Axes, *, columns: int = 1) -> None:
    """The legend of a figure, below its axes, where it hides no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=10)


def save(figures: Mapping[str, Figure], folder: Path) -> dict[str, str]:
    """Write `<name>.svg` and `<name>.png` of each figure: file name -> sha256.

    Equal figures give equal bytes under one version of matplotlib. Raises `UserError` when the
    folder cannot be written.
    """
    written: dict[str, str] = {}
    metadata: dict[str, dict[str, None]] = {
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(figures):
            for kind, empty in metadata.items():
                path = folder / f"{name}.{kind}"
                with style():
                    figures[name].savefig(path, format=kind, metadata=empty)
                written[path.name] = digests.of_file(path)
    except OSError as error:
        raise UserError(f"{folder}: cannot write figures ({error.strerror})") from error
    return written


def _arm(value: float, side: float | None) -> float:
    return 0.0 if side is None or math.isnan(side) else abs(value - side)
