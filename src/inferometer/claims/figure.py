"""The figure of the claims report: how many claims of each source and kind got which verdict."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

from inferometer.claims import listing
from inferometer.claims.verdicts import ORDER, Judged

COLOURS = {
    "impossible": "#7f0000",
    "inconsistent": "#d7301f",
    "contradicted": "#fc8d59",
    "inconclusive": "#fdcc8a",
    "plausible": "#a6bddb",
    "consistent": "#2b8cbe",
    "reproduced": "#045a8d",
    "not testable here": "#d9d9d9",
    "not judged": "#636363",
}
"""Red for claims that fail, blue for those that hold, grey for those without a judgement."""


def draw(items: list[Judged]) -> tuple[bytes, bytes]:
    """The figure as SVG and as PNG; equal claims give equal bytes."""
    import matplotlib  # imported here: listing and judging must not wait for it

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style: Any = {"svg.hashsalt": "inferometer-claims", "svg.fonttype": "path", "font.size": 9}
    with matplotlib.rc_context(style):
        panels = {by: listing.counts(items, by) for by in ("source", "kind")}
        heights = [max(1, len(rows)) for rows in panels.values()]
        figure, axes = pyplot.subplots(
            2, 1, figsize=(8, 1.6 + 0.42 * sum(heights)), height_ratios=heights, squeeze=False
        )
        for axis, (by, rows) in zip(axes[:, 0], panels.items(), strict=True):
            _bars(axis, rows, by)
        axes[1, 0].set_xlabel("claims (count)")
        handles, labels = _legend(axes[:, 0])
        figure.legend(handles, labels, loc="upper center", ncols=5, frameon=False, fontsize=8)
        figure.tight_layout(rect=(0, 0, 1, 0.95))
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
        pyplot.close(figure)
    return svg.getvalue(), png.getvalue()


def _bars(axis: Any, rows: dict[str, Counter[str]], by: str) -> None:
    names = list(rows)
    left = [0.0] * len(names)
    for verdict in ORDER:
        widths = [float(rows[name][verdict]) for name in names]
        if not any(widths):
            continue
        bars = axis.barh(names, widths, left=left, color=COLOURS[verdict], label=verdict)
        dark = verdict in ("impossible", "inconsistent", "consistent", "reproduced", "not judged")
        labels = [f"{width:.0f}" if width >= 3 else "" for width in widths]
        axis.bar_label(
            bars, labels, label_type="center", fontsize=7, color="white" if dark else "black"
        )
        left = [base + width for base, width in zip(left, widths, strict=True)]
    axis.invert_yaxis()
    axis.set_ylabel(by)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(axes: Any) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    labels = [verdict for verdict in ORDER if verdict in found]
    return [found[label] for label in labels], list(labels)


def save(items: list[Judged], folder: Path, stem: str = "verdicts") -> list[Path]:
    """Write `<stem>.svg` and `<stem>.png` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    svg, png = draw(items)
    paths = [folder / f"{stem}.svg", folder / f"{stem}.png"]
    for path, content in zip(paths, (svg, png), strict=True):
        path.write_bytes(content)
    return paths
