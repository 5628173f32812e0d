"""How findings of profiled SUTs decide declared hypotheses: bounds, ratios, sameness, overhead."""

from __future__ import annotations

import numpy as np
import pandas as pd

from inferometer.analysis import Judgement, Ledger
from inferometer.design import Hypothesis
from inferometer.entries import matched, spread
from inferometer.profilers import derived
from inferometer.profilers.summary import Profile
from inferometer.stats import compare, equivalence, intervals

ABSENT = "this SUT was not measured here; the top of the report says why where it is known"
NOT_TRACED = "it was not traced; the section on profilers says why where it is known"


def inside(hypothesis: Hypothesis, ledger: Ledger, name: str) -> Judgement:
    """A finding's interval against the declared bounds.

    A count that is the same in every block is exact: its value stands for its interval.
    """
    finding = ledger.findings.get(name)
    if finding is None or finding.value is None:
        return Judgement("not testable here", NOT_TRACED, [])
    value, seen = float(finding.value), finding.interval
    if seen is None and finding.no_interval == intervals.CONSTANT:
        ends = (value, value)
    elif seen is None or seen.low is None or seen.high is None:
        return Judgement("inconclusive", "it has no interval", [name])
    else:
        ends = (seen.low, seen.high)
    low = -np.inf if hypothesis.low is None else hypothesis.low
    high = np.inf if hypothesis.high is None else hypothesis.high
    if ends[0] > high or ends[1] < low:
        return Judgement("refuted", f"[[{name}]], wholly outside", [name])
    if ends[0] >= low and ends[1] <= high:
        return Judgement("supported", f"[[{name}]], wholly inside", [name])
    return Judgement("inconclusive", f"[[{name}]], which crosses a bound", [name])


def below_one(a: pd.Series, b: pd.Series, name: str, paired: bool) -> Judgement:
    """A ratio below 1, two-sided p."""
    return _sided(a, b, name, paired, wanted_below=True)


def above_one(a: pd.Series, b: pd.Series, name: str, paired: bool) -> Judgement:
    """A ratio above 1, two-sided p."""
    return _sided(a, b, name, paired, wanted_below=False)


def _sided(a: pd.Series, b: pd.Series, name: str, paired: bool, wanted_below: bool) -> Judgement:
    if paired:
        a, b = matched(a, b)
    if a.empty or b.empty:
        return Judgement("not testable here", ABSENT, [])
    text = f"[[{name}]]"
    if len(a) > 1 and spread(a, b, paired) == 0:
        below, equal = a.iloc[0] < b.iloc[0], a.iloc[0] == b.iloc[0]
        right = not equal and below == wanted_below
        said = f"the same in every block: {text}"
        return Judgement("supported" if right else "refuted", said, [name])
    found = compare.ratio(a, b, paired=paired)
    if found.p is None or found.ci is None:
        return Judgement("inconclusive", f"no interval: `{found.reason}`", [name])
    low, high = found.ci
    if high < 1 or low > 1:
        right = (high < 1) == wanted_below
        return Judgement("supported" if right else "refuted", text, [name], found.p)
    return Judgement("inconclusive", text, [name], found.p)


def same(hypothesis: Hypothesis, a: pd.Series, b: pd.Series, named: list[str]) -> Judgement:
    """Two SUTs' block values are equal as a ratio within the declared margin (TOST)."""
    if a.empty or b.empty:
        return Judgement("not testable here", ABSENT, [])
    low, high = margins(hypothesis)
    if len(a) > 1 and spread(a, b) == 0:
        within = low <= a.iloc[0] / b.iloc[0] <= high
        return Judgement("supported" if within else "refuted", "the same in every block", named)
    return _sameness(equivalence.tost(a, b, low, high, scale="ratio"), named)


def harmless(hypothesis: Hypothesis, seen: Profile) -> Judgement:
    """Profiled runs take the time of their unprofiled twins within the margin, at the largest N."""
    levels = [n for n in seen.levels if len(seen.at(n, "profiled_s"))]
    if not levels:
        return Judgement("not testable here", NOT_TRACED, [])
    n = levels[-1]
    with_, without = seen.at(n, "profiled_s"), seen.at(n, "unprofiled_s")
    low, high = margins(hypothesis)
    found = derived.profiling_overhead(*matched(with_, without), low, high)
    return _sameness(found, [f"{seen.sut}.overhead.n{n}"])


def _sameness(found: equivalence.Equivalence, named: list[str]) -> Judgement:
    text = f"[[{named[0]}]]"
    if found.ci90 is None or found.p is None:
        return Judgement("inconclusive", f"not testable: `{found.reason}`", named)
    if found.equivalent:
        return Judgement("supported", f"{text}, within the margin", named, found.p)
    if found.ci90[0] > found.upp or found.ci90[1] < found.low:
        return Judgement("refuted", f"{text}, wholly beyond the margin", named, found.p)
    return Judgement("inconclusive", f"{text}, which crosses the margin", named, found.p)


def margins(hypothesis: Hypothesis) -> tuple[float, float]:
    """The margin as a ratio on both sides of 1."""
    margin = hypothesis.margin or 0.05
    return 1 / (1 + margin), 1 + margin


def beyond_one(ledger: Ledger, name: str) -> bool | None:
    """Whether a finding's interval lies above 1 (True), below (False) or across it (None)."""
    finding = ledger.findings.get(name)
    seen = finding.interval if finding else None
    if seen is None or seen.low is None or seen.high is None:
        return None
    return True if seen.low > 1 else False if seen.high < 1 else None
