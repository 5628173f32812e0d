"""Write the statistics report from simulated outcomes; every number in it is computed here."""

from __future__ import annotations

from pathlib import Path

from inferometer.stats.checking import breaks, errors, laws, means
from inferometer.stats.checking.cells import Outcome
from inferometer.stats.checking.figures import draw

FULL_RUNS = 1000

SECTIONS = {
    means.CRITERION: (
        "coverage_mean_ratio",
        f"Each simulation draws {means.BLOCKS} blocks of {means.REQUESTS} request latencies: "
        f"lognormal with a log-sd of {means.SIGMA:g}, split into what a block shares (ICC) and "
        "what its requests have of their own, the latter with an AR(1) correlation inside the "
        "block. "
        f"With stalls, {means.STALL_SHARE:.0%} of the requests wait an extra Pareto time (shape "
        f"{means.STALL_SHAPE:g}, at least {means.STALL_LEAST:g} median latency). The true mean is "
        "known in closed form; for the ratio, a second SUT is the first times "
        f"{means.TRUE_RATIO:g}. All intervals are nominal 95 %.",
    ),
    errors.CRITERION: (
        "errors",
        f"Tests at .05 with {means.BLOCKS} blocks a side, when the null is true: two and four "
        f"equal SUTs (latencies as above), a family of {errors.FAMILY}, equal success rates on "
        "shared items, and Amdahl's law where it holds. Below it, equivalence tests when the true "
        f"difference lies exactly at the margin ({errors.MARGIN:.0%} for means, with the stated "
        f"block CV; rates on {errors.ITEMS} items): claiming sameness there is the error.",
    ),
    laws.CRITERION: (
        "scaling",
        f"{means.BLOCKS} blocks measure N = 1, 2, 3, 4, 6, 8. A block multiplies all its values by "
        "one lognormal factor and each of its cells by another, both with the stated CV. Amdahl's "
        "s is fitted to per-agent throughput with one x_1 per block; the USL to total throughput "
        f"(log scale, one gamma per block) with a true beta of {laws.BETA:g}.",
    ),
    breaks.CRITERION: (
        "breaks",
        "Series without a break, white or AR(.3), and white series with a shift of 3 standard "
        "deviations in the middle. A shift counts as found when the test rejects at .05 and "
        "places the break within one point of the truth.",
    ),
}


def write_report(
    path: Path, outcomes: list[Outcome], runs: int, seed: int, elapsed_s: float
) -> None:
    """Write the page and its figures (into a folder of the page's name beside it)."""
    figures = path.with_suffix("")
    parts = [_head(outcomes, runs), _summary(outcomes), _shortcuts(outcomes)]
    for criterion, (stem, text) in SECTIONS.items():
        rows = [outcome for outcome in outcomes if outcome.criterion == criterion]
        draw(rows, figures, stem)
        parts.append(_section(criterion, text, f"{figures.name}/{stem}", rows))
    parts += [_limits(outcomes), _repeat(runs, seed, elapsed_s)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _head(outcomes: list[Outcome], runs: int) -> str:
    judged = [outcome for outcome in outcomes if outcome.band is not None]
    missed = [outcome for outcome in judged if not outcome.met()]
    if missed:
        answer = (
            f"**{len(judged) - len(missed)} of {len(judged)} judged outcomes lie in their bands; "
            f"{len(missed)} do not:**\n\n"
        ) + "\n".join(
            f"- {o.quantity}, {o.method}, {o.setting}: {_share(o)}, band {o.band}" for o in missed
        )
    else:
        answer = f"**All {len(judged)} judged outcomes lie in their bands.**"
    few = (
        f"\n\nThis page rests on {runs} simulations per cell, fewer than the {FULL_RUNS} of the "
        "acceptance: its Monte-Carlo errors are wide, and a miss by about one of them decides "
        "nothing."
        if runs < FULL_RUNS
        else ""
    )
    return (
        "# Do our intervals and tests mean what they say?\n\n"
        "An interval called 95 % should cover the truth 95 times in 100, and a test at .05 should "
        "reject a true null 5 times in 100, under the conditions in which this project measures: "
        "few blocks, correlated requests, skewed latencies, stalls. Here both are tried on data "
        "whose truth is known, with the library's own calls, beside the shortcuts that are common "
        f"in benchmark reports.\n\n{answer}{few}"
    )


def _summary(outcomes: list[Outcome]) -> str:
    lines = [
        "## Summary",
        "",
        "| criterion | quantity | method | band | cells | lowest | highest | met |",
        "|---|---|---|---|---:|---:|---:|---|",
    ]
    judged = [outcome for outcome in outcomes if outcome.band is not None]
    keys = dict.fromkeys((o.criterion, o.quantity, o.method, str(o.band)) for o in judged)
    for criterion, quantity, method, band in keys:
        rows = [
            o
            for o in judged
            if (o.criterion, o.quantity, o.method, str(o.band))
            == (criterion, quantity, method, band)
        ]
        low, high = min(o.share for o in rows), max(o.share for o in rows)
        met = sum(bool(o.met()) for o in rows)
        verdict = "yes" if met == len(rows) else f"**{met} of {len(rows)}**"
        number = criterion.split()[0]
        lines.append(
            f"| {number} | {quantity} | {method} | {band} | {len(rows)} "
            f"| {low:.3f} | {high:.3f} | {verdict} |"
        )
    return "\n".join(lines)


def _shortcuts(outcomes: list[Outcome]) -> str:
    lines = ["## What the shortcuts would have told", ""]
    others = [o for o in outcomes if o.band is None and _is_shortcut(o, outcomes)]
    for quantity, method in dict.fromkeys((o.quantity, o.method) for o in others):
        rows = [o for o in others if (o.quantity, o.method) == (quantity, method)]
        bad = min if _is_coverage(quantity) else max
        worst = bad(rows, key=lambda o: o.share)
        judged = [o.band for o in outcomes if o.quantity == quantity and o.band is not None]
        if judged[0].holds(worst.share):
            continue
        what = f"covers the true {quantity}" if _is_coverage(quantity) else quantity
        lines.append(
            f"- *{method}*: {what} in {'only' if bad is min else 'up to'} {worst.share:.1%} of the "
            f"simulations ({worst.setting})."
        )
    return "\n".join(lines)


def _section(criterion: str, text: str, figure: str, rows: list[Outcome]) -> str:
    parts = [f"## {criterion[0].upper()}{criterion[1:]}", text]
    parts.append(f"![{criterion}: shares of simulations with their bands]({figure}.svg)")
    parts.append(
        "*Points are shares of simulations with 95 % Monte-Carlo intervals; filled: ours; shaded: "
        "the band of acceptance.*"
    )
    for quantity in dict.fromkeys(outcome.quantity for outcome in rows):
        parts.append(_table(quantity, [o for o in rows if o.quantity == quantity]))
    return "\n\n".join(parts)


def _table(quantity: str, rows: list[Outcome]) -> str:
    methods = list(dict.fromkeys(o.method for o in rows))
    methods.sort(key=lambda m: all(o.band is None for o in rows if o.method == m))
    found = {(o.setting, o.method): o for o in rows}
    title = f"true {quantity} covered" if _is_coverage(quantity) else quantity
    lines = [
        f"| {title} | " + " | ".join(methods) + " | band |",
        "|---|" + "---:|" * len(methods) + "---|",
    ]
    for setting in dict.fromkeys(o.setting for o in rows):
        cells = [_cell(found.get((setting, method))) for method in methods]
        bands = {str(o.band) for o in rows if o.setting == setting and o.band is not None}
        lines.append(f"| {setting} | " + " | ".join(cells) + f" | {', '.join(bands) or '–'} |")
    return "\n".join(lines)


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "–"
    if outcome.band is None:
        return _share(outcome)
    return f"{_share(outcome)} ✓" if outcome.met() else f"**{_share(outcome)} ✗**"


def _share(outcome: Outcome) -> str:
    return f"{outcome.share:.3f} ± {outcome.error:.3f}"


def _is_coverage(quantity: str) -> bool:
    return quantity in {"mean", "ratio", "Amdahl s", "USL alpha", "USL beta"}


def _is_shortcut(outcome: Outcome, outcomes: list[Outcome]) -> bool:
    """Tell a shortcut from our own method in a setting where it carries no band."""
    ours = {(o.quantity, o.method) for o in outcomes if o.band is not None}
    judged_anywhere = (outcome.quantity, outcome.method) in ours
    return not judged_anywhere and outcome.quantity != breaks.FOUND


def _limits(outcomes: list[Outcome]) -> str:
    found = {(o.setting, o.method): o.share for o in outcomes if o.quantity == breaks.FOUND}
    false = {(o.setting, o.method): o.share for o in outcomes if o.quantity == breaks.FALSE}
    three, four = (f"5 points a side, at least {k} kept a side" for k in (3, 4))
    short = "AR(0.3), 10 points"
    lines = [
        "## Limits",
        "",
        "- **Breaks in ten points.** With 5 points a side the search over splits that keep 3 a "
        f"side places a 3-sigma shift within a point in {found[three, breaks.PLACED]:.1%} of the "
        f"series and also rejects in {found[three, breaks.WHITE]:.1%}; keeping 4 a side, which a "
        f"design can declare, rejects in {found[four, breaks.WHITE]:.1%}. A break predicted in "
        "advance needs no search (`regimes.fixed_break`).",
        "- **Autocorrelation has a price.** Ten points cannot tell AR(.3) from a shift: the null "
        f"for white noise then claims false breaks in {false[short, breaks.WHITE]:.1%} of the "
        f"series, and the default that allows for it finds {found[three, breaks.AR1]:.1%} "
        'of the shifts. Declare `noise="white"` only where the order was randomised.',
        "- **TOST shortcuts.** Reading “not significant” as “same” errs rarely where the test is "
        "strong and often where it is weak; its error is not held at any level.",
        "- **Not simulated here:** real machines. Identical blocks on the measured machine are the "
        "subject of the A/A calibration (criterion 5.5).",
    ]
    return "\n".join(lines)


def _repeat(runs: int, seed: int, elapsed_s: float) -> str:
    import lmfit
    import numpy
    import scipy
    import statsmodels

    return (
        "## How to repeat\n\n"
        f"`inferometer stats-check --runs {runs} --seed {seed}` ({elapsed_s / 60:.1f} minutes "
        f"here). Every cell is simulated {runs} times, those of false breaks {breaks.TIMES} times "
        "as often because their rate lies near its limit, in chunks; chunk c of cell i draws from "
        f"the seed ({seed}, i, c), so the numbers do not depend on the number of processes. "
        "± is the Monte-Carlo standard error (binomial, with two hits and two misses added so that "
        "it is never 0). Bands are those of the design and are not widened. "
        f"numpy {numpy.__version__}, scipy {scipy.__version__}, "
        f"statsmodels {statsmodels.__version__}, lmfit {lmfit.__version__}."
    )
