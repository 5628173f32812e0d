"""TR128: what the findings say about the declared hypotheses, and the decision they give."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from inferometer.analysis import Judgement, Ledger, on_measured
from inferometer.design import Hypothesis
from inferometer.findings import Branch, Decision, Leaf
from inferometer.stats import compare, equivalence, intervals

ABSENT = "this SUT was not measured"
Ends = tuple[float, float]


def tests(ledger: Ledger, suts: dict[str, Any]) -> dict[str, Callable[[Hypothesis], Judgement]]:
    """The tests that design.yaml names, each a function of a hypothesis."""
    on_sut = partial(on_measured, suts, ledger, ABSENT)
    return {
        "capacity_same": lambda hypothesis: _capacity_same(hypothesis, suts, ledger),
        "streaming_free": on_sut(_streaming_free),
        "md1_predicts": on_sut(_md1_predicts),
        "queue_explains": on_sut(_queue_explains),
        "bounds_hold": on_sut(_bounds_hold),
        "sustained": on_sut(_sustained),
        "overload_grows": on_sut(_overload_grows),
        "no_drift": on_sut(_no_drift),
        "window_saves": on_sut(_window_saves),
    }


def _margins(hypothesis: Hypothesis) -> Ends:
    margin = hypothesis.margin or 0.05
    return 1 / (1 + margin), 1 + margin


def _same(seen: equivalence.Equivalence, bounds: Ends, named: list[str]) -> Judgement:
    """Sameness within a margin by two one-sided tests; beyond it is a refutation."""
    text = f"[[{named[0]}]]"
    if seen.ci90 is None or seen.p is None:
        return Judgement("inconclusive", f"not testable: `{seen.reason}`", named)
    if seen.equivalent:
        return Judgement("supported", f"{text}, both one-sided tests reject", named, seen.p)
    if seen.ci90[0] > bounds[1] or seen.ci90[1] < bounds[0]:
        return Judgement("refuted", f"{text}, wholly beyond the margin", named, seen.p)
    return Judgement("inconclusive", f"{text}, which crosses the margin", named, seen.p)


def _capacity_same(hypothesis: Hypothesis, suts: dict[str, Any], ledger: Ledger) -> Judgement:
    if "slots.capacity" not in ledger.findings:
        return Judgement("not testable here", "one and several slots were not both measured", [])
    ordered = sorted(suts.values(), key=lambda seen: seen.slots)
    a, b = ordered[-1].capacity, ordered[0].capacity
    if np.ptp(np.log(a)) == np.ptp(np.log(b)) == 0:
        return Judgement("inconclusive", "the blocks do not differ at all: no test", [])
    seen = equivalence.tost(a, b, *_margins(hypothesis), scale="ratio")
    return _same(seen, _margins(hypothesis), ["slots.capacity"])


def _streaming_free(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    name = f"{seen.sut}.streaming.latency"
    finding = ledger.findings.get(name)
    if finding is None or finding.value is None:
        return Judgement("not testable here", "streamed and whole answers were not both valid", [])
    cells = seen.cells[seen.cells["phase"] == "streaming"]
    table = cells.pivot_table(index="block", columns="answer", values="latency_s").dropna()
    return _tost_paired(table["stream"], table["whole"], hypothesis, name)


def _tost_paired(a: pd.Series, b: pd.Series, hypothesis: Hypothesis, name: str) -> Judgement:
    if len(a) and np.ptp(np.log(a.to_numpy()) - np.log(b.to_numpy())) == 0:
        return Judgement("inconclusive", "the blocks do not differ at all: no test", [name])
    seen = equivalence.tost_paired(a, b, *_margins(hypothesis), scale="ratio")
    return _same(seen, _margins(hypothesis), [name])


def _log_ratio(a: pd.Series, b: pd.Series, confidence: float) -> Ends | None:
    """Interval of the ratio of block values, paired by block; `None` where there is none."""
    both = a.index.intersection(b.index)
    if len(both) < 1 or min(a.loc[both].min(), b.loc[both].min()) <= 0:
        return None
    found = intervals.mean_of_blocks(np.log(a.loc[both] / b.loc[both]), confidence)
    return None if found.ci is None else (float(np.exp(found.ci[0])), float(np.exp(found.ci[1])))


def _all_inside(levels: dict[str, Ends | None], low: float, high: float, what: str) -> Judgement:
    """Simultaneous intervals by level: all inside, one wholly outside, or neither."""
    named = list(levels)
    if not named:
        return Judgement("not testable here", "no level has a value", [])
    outside = [n for n, ends in levels.items() if ends and (ends[0] > high or ends[1] < low)]
    if outside:
        return Judgement("refuted", f"{what}: [[{outside[0]}]], wholly beyond the margin", named)
    crossing = [n for n, ends in levels.items() if not ends or ends[0] < low or ends[1] > high]
    if crossing:
        return Judgement("inconclusive", f"{what}: [[{crossing[0]}]] is not inside it", named)
    return Judgement("supported", f"{what}: inside the margin at every level", named)


def _ratios(
    seen: Any, ledger: Ledger, columns: tuple[str, str], prefix: str, confidence: float
) -> dict[str, Ends | None]:
    """By finding: simultaneous interval of observed over predicted, where it has a value."""
    found = {}
    for rho in seen.levels:
        name = f"{seen.sut}.{prefix}.rho{round(100 * rho)}"
        finding = ledger.findings.get(name)
        if finding is not None and finding.value is not None:
            found[name] = _log_ratio(seen.at(rho, columns[0]), seen.at(rho, columns[1]), confidence)
    return found


def _simultaneous(hypothesis: Hypothesis, seen: Any) -> float:
    return 1 - 2 * hypothesis.alpha / len(seen.levels)


def _md1_predicts(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    confidence = _simultaneous(hypothesis, seen)
    found = _ratios(seen, ledger, ("wait_s", "md1_wait_s"), "over_md1", confidence)
    return _all_inside(found, *_margins(hypothesis), "observed over predicted wait")


def _queue_explains(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    confidence = _simultaneous(hypothesis, seen)
    found = _ratios(seen, ledger, ("latency_s", "fast_s"), "over_fast", confidence)
    return _all_inside(found, *_margins(hypothesis), "observed over predicted latency")


def _bounds_hold(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    """Not below the fast queue and not above the slow one, at every level."""
    confidence = _simultaneous(hypothesis, seen)
    low, high = _margins(hypothesis)
    fast = _ratios(seen, ledger, ("latency_s", "fast_s"), "over_fast", confidence)
    slow = _ratios(seen, ledger, ("latency_s", "slow_s"), "over_slow", confidence)
    sides = [
        _all_inside(fast, low, np.inf, "over the fast queue"),
        _all_inside(slow, 0, high, "over the slow queue"),
    ]
    for outcome in ("refuted", "inconclusive", "not testable here"):
        for side in sides:
            if side.outcome == outcome:
                return side
    return Judgement("supported", "between both queues at every rho", [*fast, *slow])


def _sustained(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    rho = hypothesis.low or 0.8
    name = f"{seen.sut}.achieved_share.rho{round(100 * rho)}"
    if name not in ledger.findings or ledger.findings[name].value is None:
        return Judgement("not testable here", "this rho was not measured validly", [])
    share = seen.at(rho, "achieved_share")
    return _tost_paired(share, pd.Series(1.0, index=share.index), hypothesis, name)


def _overload_grows(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    name = f"{seen.sut}.backlog.rho{round(100 * (hypothesis.low or 1.1))}"
    finding = ledger.findings.get(name)
    if finding is None or finding.value is None:
        return Judgement("not testable here", "this rho was not measured validly", [])
    interval = finding.interval
    if interval is None or interval.low is None or interval.high is None:
        return Judgement("inconclusive", "it has no interval", [name])
    text = f"a share of [[{name}]] of the arrivals stays"
    if interval.low > 0:
        return Judgement("supported", text, [name])
    return Judgement("refuted" if interval.high < 0 else "inconclusive", text, [name])


def _no_drift(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    name = f"{seen.sut}.hold.latency_drift"
    finding = ledger.findings.get(name)
    if finding is None or finding.value is None:
        return Judgement("not testable here", "no hold was measured validly", [])
    margin = hypothesis.margin or 0.1
    drift = pd.to_numeric(seen.drifts["latency_s"]).dropna().to_numpy(float)
    if np.ptp(drift) == 0:
        return Judgement("inconclusive", "the blocks do not differ at all: no test", [name])
    found = equivalence.tost_paired(drift, np.zeros(drift.size), -margin, margin)
    return _same(found, (-margin, margin), [name])


def _window_saves(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    name = f"{seen.sut}.turns.ttft_ratio"
    finding = ledger.findings.get(name)
    if finding is None or finding.value is None:
        return Judgement("not testable here", "both histories were not measured validly", [])
    last = seen.turns[seen.turns["turn"] == seen.turns["turn"].max()]
    table = last.pivot_table(index="block", columns="history", values="ttft_s").dropna()
    other = next(column for column in table if column != "full")
    if np.ptp(np.log(table["full"] / table[other])) == 0:
        return Judgement("inconclusive", "the blocks do not differ at all: no test", [name])
    found = compare.ratio(table["full"], table[other], paired=True)
    text = f"full history over window: [[{name}]]"
    if found.ci is None or found.p is None:
        return Judgement("inconclusive", f"no interval: `{found.reason}`", [name])
    outcome = "supported" if found.ci[0] > 1 else "refuted" if found.ci[1] < 1 else "inconclusive"
    return Judgement(outcome, text, [name], found.p)


def decisions(ledger: Ledger, suts: dict[str, Any]) -> list[Decision]:
    """How many slots, and how much load, when the objectives are to be met."""
    ordered = sorted(suts.values(), key=lambda seen: seen.slots)
    if len(ordered) < 2 or "slots.capacity" not in ledger.findings:
        return []
    finding = ledger.findings["slots.capacity"]
    ends = finding.interval
    raised = None
    if ends is not None and ends.low is not None and ends.high is not None:
        raised = True if ends.low > 1 else False if ends.high < 1 else None
    few, many = ordered[0], ordered[-1]
    root = Branch(
        question=f"Do {many.slots} slots raise the capacity over {few.slots}?",
        finding="slots.capacity",
        holds=raised,
        yes=_load(ledger, many),
        no=_load(ledger, few),
    )
    return [Decision(id="load", title="How many slots, and how much load?", root=root)]


def _load(ledger: Ledger, seen: Any) -> Leaf:
    rho = ledger.findings[f"{seen.sut}.sustained_rho"].value
    slots = f"{seen.slots} slot{'s' if seen.slots > 1 else ''}"
    if rho is None:
        return Leaf(
            advice=f"Serve with {slots}; no measured load meets the objectives: shed or queue."
        )
    share = round(100 * float(rho))
    return Leaf(advice=f"Serve with {slots}; admit up to {share} % of the capacity, shed the rest.")
