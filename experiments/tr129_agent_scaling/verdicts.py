"""TR129: what the findings say about the declared hypotheses, and the decisions they give."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from inferometer.analysis import Judgement, Ledger, on_measured
from inferometer.design import Hypothesis
from inferometer.findings import Branch, Decision, Leaf
from inferometer.stats import compare, equivalence, intervals

ABSENT = "this SUT was not measured"


def tests(ledger: Ledger, suts: dict, table: pd.DataFrame) -> dict[str, Callable]:
    """The tests that design.yaml names, each a function of a hypothesis."""
    on_sut = partial(on_measured, suts, ledger, ABSENT)
    return {
        "eta_monotone": on_sut(_eta_monotone),
        "amdahl_adequate": on_sut(_amdahl_adequate),
        "serial_fraction_between": on_sut(_serial_fraction_between),
        "plateau": on_sut(_plateau),
        "fair": on_sut(_fair),
        "server_rate_constant": on_sut(_server_rate_constant),
        "batching_gains": lambda hypothesis: _batching_gains(suts),
        "think_restores_rate": on_sut(
            lambda hypothesis, seen, _: _think_restores_rate(seen.sut, table)
        ),
    }


def _paired(seen, column: str, high: int, low: int) -> tuple[pd.Series, pd.Series]:  # type: ignore[no-untyped-def]
    both = pd.concat([seen.at(high, column), seen.at(low, column)], axis=1, join="inner")
    return both.iloc[:, 0], both.iloc[:, 1]


def _eta_monotone(hypothesis: Hypothesis, seen, ledger: Ledger) -> Judgement:  # type: ignore[no-untyped-def]
    """Ratios of neighbouring levels below 1 at once, with Bonferroni's simultaneous width."""
    pairs = list(zip(seen.levels, seen.levels[1:], strict=False))
    confidence = 1 - hypothesis.alpha / len(pairs)
    highs, lows, at = [], [], []
    for low, high in pairs:
        ratio = compare.ratio(*_paired(seen, "per_agent", high, low), confidence, paired=True)
        if ratio.ci is None:
            return Judgement("inconclusive", f"no interval: `{ratio.reason}`", [])
        lows.append(ratio.ci[0])
        highs.append(ratio.ci[1])
        at.append(f"`N = {low} to {high}`")
    named = [f"{seen.sut}.eta.n{n}" for n in seen.levels if n > 1]
    if max(highs) < 1:
        return Judgement("supported", "every step down is beyond its simultaneous interval", named)
    if max(lows) > 1:
        return Judgement("refuted", f"it rises from {at[int(np.argmax(lows))]}", named)
    open_steps = [text for text, high in zip(at, highs, strict=True) if high >= 1]
    return Judgement("inconclusive", f"steps not told from none: {', '.join(open_steps)}", named)


def _amdahl_adequate(hypothesis: Hypothesis, seen, ledger: Ledger) -> Judgement:  # type: ignore[no-untyped-def]
    """Cell means against the fitted law: inside the margin at every N, or beyond it at one."""
    margin = hypothesis.margin or 0.05
    low, high = 1 / (1 + margin), 1 + margin
    named = [f"{seen.sut}.serial_fraction", f"{seen.sut}.amdahl_lack_of_fit_p"]
    gaps = _gaps_to_law(seen)
    outside, undecided = [], []
    for n in seen.levels:
        confidence = 1 - 2 * hypothesis.alpha / len(seen.levels)
        interval = intervals.mean_of_blocks(gaps[n].dropna(), confidence).ci
        if interval is None:
            return Judgement("inconclusive", "too few blocks for intervals", named)
        if np.exp(interval[0]) > high or np.exp(interval[1]) < low:
            outside.append(n)
        elif np.exp(interval[0]) < low or np.exp(interval[1]) > high:
            undecided.append(n)
    lack = f"lack of fit p = [[{seen.sut}.amdahl_lack_of_fit_p|value]]"
    if outside:
        where = ", ".join(f"`N = {n}`" for n in outside)
        return Judgement("refuted", f"beyond the margin at {where}; {lack}", named)
    if undecided:
        where = ", ".join(f"`N = {n}`" for n in undecided)
        return Judgement("inconclusive", f"interval crosses the margin at {where}; {lack}", named)
    return Judgement("supported", f"inside the margin at every N; {lack}", named)


def _gaps_to_law(seen) -> pd.DataFrame:  # type: ignore[no-untyped-def]
    """log(measured / fitted) by block and N; each block's own level (its x1) taken out."""
    cells = seen.cells
    gap = np.log(cells["per_agent"]) - np.log(seen.amdahl.efficiency(cells["agents"]))
    table = cells.assign(gap=gap).pivot_table(index="block", columns="agents", values="gap")
    return table.sub(table.mean(axis=1), axis=0)


def _serial_fraction_between(hypothesis: Hypothesis, seen, ledger: Ledger) -> Judgement:  # type: ignore[no-untyped-def]
    name = f"{seen.sut}.serial_fraction"
    interval = ledger.findings[name].interval
    if interval is None or interval.low is None:
        return Judgement("inconclusive", "s has no interval", [name])
    low, high = hypothesis.low or 0.0, hypothesis.high or 1.0
    top = np.inf if interval.high is None else interval.high
    text = f"s = [[{name}]]"
    if interval.low > high or top < low:
        return Judgement("refuted", f"{text}, wholly outside", [name])
    if interval.low >= low and top <= high:
        return Judgement("supported", f"{text}, wholly inside", [name])
    return Judgement("inconclusive", f"{text}, which crosses a bound", [name])


def _tost(a: pd.Series, b: pd.Series, margin: float, named: list[str]) -> Judgement:
    """Equality as a ratio within the margin; beyond it is a refutation, between is open."""
    low, high = 1 / (1 + margin), 1 + margin
    if np.ptp(np.log(a.to_numpy() / b.to_numpy())) == 0:
        return Judgement("inconclusive", "the blocks do not differ at all: no test", named)
    seen = equivalence.tost_paired(a, b, low, high, scale="ratio")
    if seen.ci90 is None or seen.p is None:
        return Judgement("inconclusive", f"not testable: `{seen.reason}`", named)
    if seen.equivalent:
        return Judgement(
            "supported", "both one-sided tests reject beyond the margin", named, seen.p
        )
    if seen.ci90[0] > high or seen.ci90[1] < low:
        return Judgement("refuted", "the interval lies wholly beyond the margin", named, seen.p)
    return Judgement("inconclusive", "the interval crosses the margin", named, seen.p)


def _plateau(hypothesis: Hypothesis, seen, ledger: Ledger) -> Judgement:  # type: ignore[no-untyped-def]
    top = max(seen.levels)
    named = [f"{seen.sut}.throughput.n{n}" for n in (2, top)]
    a, b = _paired(seen, "throughput", top, 2)
    return _tost(a, b, hypothesis.margin or 0.05, named)


def _server_rate_constant(hypothesis: Hypothesis, seen, ledger: Ledger) -> Judgement:  # type: ignore[no-untyped-def]
    top = max(seen.levels)
    named = [f"{seen.sut}.server_rate.n{n}" for n in (1, top)]
    a, b = _paired(seen, "server_rate", top, 1)
    if len(a) == 0:
        return Judgement("not testable here", "the server reports no decode time", [])
    return _tost(a, b, hypothesis.margin or 0.05, named)


def _fair(hypothesis: Hypothesis, seen, ledger: Ledger) -> Judgement:  # type: ignore[no-untyped-def]
    """Every N's interval above the bound, or one wholly below it."""
    bound = hypothesis.low or 0.997
    named = [f"{seen.sut}.jain.n{n}" for n in seen.levels if n > 1]
    found = [ledger.findings[name] for name in named]
    # equal shares in every block give no spread: the index is then the same number throughout
    ends = [(f.interval.low, f.interval.high) if f.interval else (f.value, f.value) for f in found]
    if any(end[0] is None for end in ends):
        return Judgement("inconclusive", "an index is not defined", named)
    below = [name for name, end in zip(named, ends, strict=True) if end[1] < bound]
    if below:
        return Judgement("refuted", f"below it: [[{below[0]}]]", named)
    if all(end[0] >= bound for end in ends):
        return Judgement("supported", "every interval lies above it", named)
    worst = named[int(np.argmin([end[0] for end in ends]))]
    return Judgement("inconclusive", f"an interval reaches below it: [[{worst}]]", named)


def _batching_gains(suts: dict) -> Judgement:
    serial, batch = suts.get("llamacpp-serial"), suts.get("llamacpp-batch8")
    if serial is None or batch is None:
        return Judgement("not testable here", ABSENT, [])
    top = max(set(serial.levels) & set(batch.levels))
    gain = compare.ratio(batch.at(top, "throughput"), serial.at(top, "throughput"))
    name = f"batching_gain.n{top}"
    return _raised(gain, name)


def _think_restores_rate(sut: str, table: pd.DataFrame) -> Judgement:
    cells = table[table["sut"] == sut]
    top = cells["think_ms"].max()
    if top == 0:
        return Judgement("not testable here", "no think time at this depth", [])
    agents = cells[cells["think_ms"] == top]["agents"].iloc[0]
    chosen = cells[cells["agents"] == agents].pivot_table(
        index="block", columns="think_ms", values="request_rate"
    )
    both = chosen[[top, 0]].dropna()
    named = [f"{sut}.request_rate.think{level:g}" for level in (top, 0)]
    gain = compare.ratio(both[top], both[0], paired=True)
    return _raised(gain, *named)


def _raised(gain: compare.Ratio, *named: str) -> Judgement:
    """A ratio above 1, two-sided p."""
    names = list(named)
    text = f"[[{named[0]}]]"
    if gain.p is None or gain.ci is None:
        return Judgement("inconclusive", f"no interval: `{gain.reason}`", names)
    if gain.ci[0] > 1:
        return Judgement("supported", text, names, gain.p)
    if gain.ci[1] < 1:
        return Judgement("refuted", text, names, gain.p)
    return Judgement("inconclusive", text, names, gain.p)


def decisions(ledger: Ledger, suts: dict) -> list[Decision]:
    """Which server settings to use for how many agents, on this machine."""
    if "llamacpp-serial" not in suts or "llamacpp-batch8" not in suts:
        return []
    levels = sorted(set(suts["llamacpp-serial"].levels) & set(suts["llamacpp-batch8"].levels))
    start = _batching_from(ledger, levels)
    gain, alone = f"batching_gain.n{start}", "batching_gain.n1"
    slots = Leaf(advice="Give the server several slots (continuous batching).")
    one = Leaf(advice="Keep one slot: several bring nothing that could be shown here.")
    either = Leaf(advice="Either; no difference could be shown here.")
    slower = _above_one(ledger, alone)
    root = Branch(
        question=f"Do {start} or more agents send at the same time?",
        yes=Branch(
            question=f"Does continuous batching give a higher total at N = {start}?",
            finding=gain,
            holds=_above_one(ledger, gain),
            yes=slots,
            no=one,
        ),
        no=Branch(
            question="Does continuous batching change the total of a single agent?",
            finding=alone,
            holds=None if slower is None else True,
            yes=slots if slower else one,
            no=either,
        ),
    )
    return [Decision(id="slots", title="How many slots?", root=root)]


def _batching_from(ledger: Ledger, levels: list[int]) -> int:
    """The smallest N from which batching gives more at every measured N, else the largest N."""
    start = levels[-1]
    for n in reversed(levels):
        if _above_one(ledger, f"batching_gain.n{n}") is not True:
            break
        start = n
    return start


def _above_one(ledger: Ledger, name: str) -> bool | None:
    interval = ledger.findings[name].interval
    if interval is None or interval.low is None or interval.high is None:
        return None
    return True if interval.low > 1 else False if interval.high < 1 else None
