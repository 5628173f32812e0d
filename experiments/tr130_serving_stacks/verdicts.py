"""TR130: what the findings say about the declared hypotheses."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from inferometer import routing
from inferometer.analysis import Judgement, Ledger
from inferometer.design import Hypothesis
from inferometer.findings import Finding
from inferometer.scaling import Cells, Scaling
from inferometer.stats import compare, equivalence

ABSENT = "not both sides of the comparison were measured"
SERIAL, REFERENCE, QUANTIZED = "llamacpp-serial", "llamacpp", "llamacpp-q4"


@dataclass
class Seen:
    """Everything that the tests look at."""

    ledger: Ledger
    same: dict[str, Cells]
    best: dict[str, Cells]
    laws: dict[str, Scaling]
    kinds: dict[str, dict[str, Cells]]


def tests(ledger: Ledger, same: dict, best: dict, laws: dict, kinds: dict) -> dict[str, Callable]:
    """The tests that design.yaml names, each a function of a hypothesis."""
    seen = Seen(ledger, same, best, laws, kinds)
    named = {
        "beats_serial": _beats_serial,
        "crossover_between": _crossover_between,
        "gain_between": _gain_between,
        "ttft_between": _ttft_between,
        "best_precision_between": _best_precision_between,
        "scaling_differs": _scaling_differs,
        "power_law": _power_law,
        "same_as_llamacpp": _same_as_llamacpp,
        "routes_to": _routes_to,
    }
    return {name: partial(test, seen) for name, test in named.items()}


def _pair(arms: dict[str, Cells], sut: str | None, other: str) -> tuple[Cells, Cells, int] | None:
    """Two SUTs and the largest N that both have; `None` where they have none in common."""
    if sut not in arms or other not in arms:
        return None
    a, b = arms[sut], arms[other]
    common = set(a.levels) & set(b.levels)
    return (a, b, max(common)) if common else None


def _beats_serial(seen: Seen, hypothesis: Hypothesis) -> Judgement:
    pair = _pair(seen.same, hypothesis.sut, SERIAL)
    if pair is None:
        return Judgement("not testable here", ABSENT, [])
    a, b, n = pair
    name = f"gain.{a.sut}.n{n}"
    if name not in seen.ledger.findings:
        return Judgement("inconclusive", "the blocks do not differ at all: no test", [])
    gain = compare.ratio(a.at(n, "throughput"), b.at(n, "throughput"))
    if gain.ci is None:
        return Judgement("inconclusive", f"no interval: `{gain.reason}`", [name])
    outcome = "supported" if gain.ci[0] > 1 else "refuted" if gain.ci[1] < 1 else "inconclusive"
    return Judgement(outcome, f"[[{name}]] at `N = {n}`", [name], gain.p)


def _crossover_between(seen: Seen, hypothesis: Hypothesis) -> Judgement:
    name = f"crossover.{hypothesis.sut}.{SERIAL}"
    found = seen.ledger.findings.get(name)
    if found is not None and found.value is None:
        none = (found.reason or "").startswith("none within")
        return Judgement("refuted" if none else "inconclusive", f"`{found.reason}`", [name])
    return _within(seen, hypothesis, name)


def _gain_between(seen: Seen, hypothesis: Hypothesis) -> Judgement:
    """At N = 8, which the statement speaks of."""
    return _within(seen, hypothesis, f"gain.{hypothesis.sut}.n8")


def _ttft_between(seen: Seen, hypothesis: Hypothesis) -> Judgement:
    pair = _pair(seen.same, hypothesis.sut, SERIAL)
    if pair is None:
        return Judgement("not testable here", ABSENT, [])
    return _within(seen, hypothesis, f"ttft_gain.{hypothesis.sut}.n{pair[2]}")


def _best_precision_between(seen: Seen, hypothesis: Hypothesis) -> Judgement:
    return _within(seen, hypothesis, f"ratio.{hypothesis.sut}.{QUANTIZED}.n1")


def _within(seen: Seen, hypothesis: Hypothesis, name: str) -> Judgement:
    """A finding against the hypothesis' bounds; without it, both sides were not measured."""
    found = seen.ledger.findings.get(name)
    if found is None:
        return Judgement("not testable here", ABSENT, [])
    low, high = hypothesis.low or 0.0, hypothesis.high or 0.0
    return _inside(found, low, high, f"[[{name}]]", [name])


def _inside(found: Finding, low: float, high: float, text: str, named: list[str]) -> Judgement:
    """An interval wholly inside the bounds, wholly outside, or across one."""
    ends = found.interval
    if ends is None or (ends.low is None and ends.high is None):
        return Judgement("inconclusive", f"{text} has no interval", named)
    if (ends.low is not None and ends.low > high) or (ends.high is not None and ends.high < low):
        return Judgement("refuted", f"{text}, wholly outside", named)
    if None not in (ends.low, ends.high) and ends.low >= low and ends.high <= high:
        return Judgement("supported", f"{text}, wholly inside", named)
    return Judgement("inconclusive", f"{text}, which crosses a bound", named)


def _scaling_differs(seen: Seen, hypothesis: Hypothesis) -> Judgement:
    found = seen.ledger.findings["speedup_differs_p"]
    named = ["speedup_differs_p"]
    if not isinstance(found.value, float):
        return Judgement("not testable here", f"`{found.reason}`", named)
    outcome = "supported" if found.value <= hypothesis.alpha else "inconclusive"
    return Judgement(outcome, "[[speedup_differs_p|value]] (Welch's F)", named, found.value)


def _power_law(seen: Seen, hypothesis: Hypothesis) -> Judgement:
    """Lowest AICc, with no other law within 2 of it."""
    name = f"{hypothesis.sut}.law"
    if hypothesis.sut not in seen.laws:
        return Judgement("not testable here", "this SUT has too few levels for laws", [])
    found, delta = seen.ledger.findings[name], f"{hypothesis.sut}.delta_aicc.power"
    named, text = [name, delta], f"[[{name}]] has the lowest AICc"
    if found.value is None:
        return Judgement("inconclusive", f"`{found.reason}`", named)
    if found.notes:
        return Judgement("inconclusive", f"{text}; `{found.notes}`", named)
    return Judgement("supported" if found.value == "power" else "refuted", text, named)


def _same_as_llamacpp(seen: Seen, hypothesis: Hypothesis) -> Judgement:
    pair = _pair(seen.same, hypothesis.sut, REFERENCE)
    if pair is None:
        return Judgement("not testable here", ABSENT, [])
    a, b, n = pair
    over = routing.over(seen.ledger.findings, a.sut, b.sut, routing.tag(None, n))
    if over is None:
        return Judgement("inconclusive", "the blocks do not differ at all: no test", [])
    margin = 1 + (hypothesis.margin or 0.1)
    values = (arm.at(n, "throughput") for arm in (a, b))
    found = equivalence.tost(*values, 1 / margin, margin, scale="ratio")
    named, text = [over.finding], f"[[{over.finding}]]"
    if found.ci90 is None or found.p is None:
        return Judgement("inconclusive", f"not testable: `{found.reason}`", named)
    if found.equivalent:
        return Judgement("supported", f"{text}: both one-sided tests reject", named, found.p)
    if found.ci90[0] > margin or found.ci90[1] < 1 / margin:
        return Judgement("refuted", f"{text}: wholly beyond the margin", named, found.p)
    return Judgement("inconclusive", f"{text}: the interval crosses the margin", named, found.p)


def _routes_to(seen: Seen, hypothesis: Hypothesis) -> Judgement:
    """Best everywhere from the lowest N on; another stack that is best somewhere refutes it."""
    findings, least = seen.ledger.findings, hypothesis.low or 1
    cells = [c for c, suts in routing.cells(findings).items() if c[1] >= least and len(suts) > 1]
    there = [c for c in cells if hypothesis.sut in seen.kinds[c[0]]]
    if not there:
        return Judgement("not testable here", ABSENT, [])
    names = [routing.best_name(*cell) for cell in there]
    others = [n for n in names if findings[n].value not in (hypothesis.sut, "undecided")]
    if others:
        return Judgement("refuted", f"best is another, as in [[{others[0]}]]", names)
    open_ = [n for n in names if findings[n].value != hypothesis.sut]
    if open_:
        return Judgement("inconclusive", f"not best everywhere: [[{open_[0]}]]", names)
    return Judgement("supported", "best for every kind of work", names)
