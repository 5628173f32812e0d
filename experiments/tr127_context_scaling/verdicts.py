"""TR127: what the findings say about the declared hypotheses, and the decision they give."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from inferometer import entries
from inferometer.analysis import Judgement, Ledger, on_measured
from inferometer.design import Hypothesis
from inferometer.findings import Branch, Decision, Finding, Leaf
from inferometer.stats import compare, intervals

ABSENT = "this SUT was not measured here; the top of the report says why where it is known"
FREE = "llamacpp"


def tests(ledger: Ledger, suts: dict) -> dict[str, Callable[[Hypothesis], Judgement]]:
    """The tests that design.yaml names, each a function of a hypothesis."""
    on_sut = partial(on_measured, suts, ledger, ABSENT)
    return {
        "exponent_at_least": on_sut(_exponent),
        "exponent_below": on_sut(_exponent),
        "exponent_between": on_sut(_exponent),
        "eager_costs_more": lambda _: _eager_costs_more(suts),
        "decode_grows": on_sut(_decode_grows),
        "memory_formula": on_sut(_memory_formula),
        "kv_slope": on_sut(_kv_slope),
        "stops_as_predicted": on_sut(_stops_as_predicted),
        "spill_slows_decode": on_sut(lambda _, seen, __: _spill_slows(suts, seen)),
        "spill_between": on_sut(lambda h, seen, led: _spill_between(h, seen, suts, led)),
        "spill_where_predicted": on_sut(lambda h, _, led: _spill_where(h, led)),
    }


def _inside(hypothesis: Hypothesis, name: str, ledger: Ledger) -> Judgement:
    """An interval against the declared bounds: inside, outside, or across one of them."""
    finding = ledger.findings.get(name)
    if finding is None or finding.value is None:
        return Judgement("not testable here", "too few contexts ended well", [])
    interval = finding.interval
    if interval is None or interval.low is None or interval.high is None:
        return Judgement("inconclusive", "it has no interval", [name])
    low = -np.inf if hypothesis.low is None else hypothesis.low
    high = np.inf if hypothesis.high is None else hypothesis.high
    if interval.low > high or interval.high < low:
        return Judgement("refuted", f"[[{name}]], wholly outside", [name])
    if interval.low >= low and interval.high <= high:
        return Judgement("supported", f"[[{name}]], wholly inside", [name])
    return Judgement("inconclusive", f"[[{name}]], which crosses a bound", [name])


def _exponent(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    return _inside(hypothesis, f"{seen.sut}.exponent", ledger)


def _above(found: compare.Ratio, name: str) -> Judgement:
    """A ratio above 1, two-sided p."""
    text = f"[[{name}]]"
    if found.p is None or found.ci is None:
        return Judgement("inconclusive", f"no interval: `{found.reason}`", [name])
    if found.ci[0] > 1:
        return Judgement("supported", text, [name], found.p)
    if found.ci[1] < 1:
        return Judgement("refuted", text, [name], found.p)
    return Judgement("inconclusive", text, [name], found.p)


def _eager_costs_more(suts: dict) -> Judgement:
    eager, sdpa = suts.get("smollm2-eager"), suts.get("smollm2-sdpa")
    if eager is None or sdpa is None or not set(eager.timed) & set(sdpa.timed):
        return Judgement("not testable here", ABSENT, [])
    common = sorted(set(eager.timed) & set(sdpa.timed))
    top = common[-1]
    found = compare.ratio(eager.at(top, "prefill_s"), sdpa.at(top, "prefill_s"))
    return _above(found, f"{eager.sut}.prefill_over_sdpa.c{top}")


def _decode_grows(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    name = f"{seen.sut}.decode_growth"
    if name not in ledger.findings:
        return Judgement("not testable here", "fewer than two contexts ended well", [])
    levels = [c for c in seen.levels if len(seen.at(c, "decode_s"))]
    top, low = seen.at(levels[-1], "decode_s"), seen.at(levels[0], "decode_s")
    both = top.index.intersection(low.index)
    return _above(compare.ratio(top.loc[both], low.loc[both], paired=True), name)


def _margins(hypothesis: Hypothesis) -> tuple[float, float]:
    margin = hypothesis.margin or 0.05
    return 1 / (1 + margin), 1 + margin


def _memory_formula(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    """Measured over predicted peak inside the margin at every context, with simultaneous width."""
    low, high = _margins(hypothesis)
    named = [f"{seen.sut}.peak_error.c{c}" for c in seen.levels]
    named = [name for name in named if _value(ledger, name) is not None]
    if not named:
        return Judgement("not testable here", "peaks of memory cannot be read here", [])
    outside, crossing = [], []
    for name in named:
        finding = ledger.findings[name]
        ends = _ends(finding, 1 - 2 * hypothesis.alpha / len(named))
        if ends is None:
            return Judgement("inconclusive", "too few blocks for intervals", named)
        if ends[0] > high or ends[1] < low:
            outside.append(name)
        elif ends[0] < low or ends[1] > high:
            crossing.append(name)
    if outside:
        worst = max(outside, key=lambda name: abs(float(ledger.findings[name].value or 1) - 1))
        return Judgement("refuted", f"beyond the margin, at most [[{worst}]]", named)
    if crossing:
        return Judgement("inconclusive", f"[[{crossing[0]}]] crosses the margin", named)
    return Judgement("supported", "inside the margin at every context", named)


def _value(ledger: Ledger, name: str) -> float | None:
    """The number of a finding; `None` where there is no such finding, or no value."""
    finding = ledger.findings.get(name)
    return None if finding is None or finding.value is None else float(finding.value)


def _ends(finding: Finding, confidence: float) -> tuple[float, float] | None:
    """The finding's interval at another confidence; equal values in all blocks are exact."""
    value = float(finding.value)  # type: ignore[arg-type]
    if finding.interval is None:
        exact = finding.no_interval == intervals.CONSTANT
        return (value, value) if exact else None
    half = (finding.interval.high or value) - value
    half *= stats.t.ppf((1 + confidence) / 2, finding.n - 1) / stats.t.ppf(0.975, finding.n - 1)
    return value - half, value + half


def _kv_slope(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    name = f"{seen.sut}.kv_slope_error"
    if _value(ledger, name) is None:
        return Judgement("not testable here", "fewer than two contexts have a cache", [])
    ends = _ends(ledger.findings[name], 1 - 2 * hypothesis.alpha)
    low, high = _margins(hypothesis)
    if ends is None:
        return Judgement("inconclusive", "too few blocks for an interval", [name])
    if ends[0] >= low and ends[1] <= high:
        return Judgement("supported", f"measured over formula: [[{name}]]", [name])
    beyond = ends[0] > high or ends[1] < low
    text = f"measured over formula: [[{name}]]"
    return Judgement("refuted" if beyond else "inconclusive", text, [name])


def _stops_as_predicted(hypothesis: Hypothesis, seen: Any, ledger: Ledger) -> Judgement:
    """The prediction lies between the last context that went well and the first that did not."""
    sut = seen.sut
    names = [f"{sut}.limit_{part}" for part in ("predicted", "largest_ok", "smallest_oom")]
    at, fine, oom = (_value(ledger, name) for name in names)
    if at is None:
        return Judgement("not testable here", "the model's facts for arithmetic are missing", [])
    if fine is None and oom is None:
        return Judgement("inconclusive", "no context ended well, none for lack of memory", names)
    text = f"predicted [[{names[0]}]]"
    text += f", well up to [[{names[1]}]]" if fine is not None else ""
    text += f", out of memory from [[{names[2]}]]" if oom is not None else ", never out of memory"
    too_early = oom is not None and at >= oom
    too_late = fine is not None and at < fine
    return Judgement("refuted" if too_early or too_late else "supported", text, names)


def _spill_top(suts: dict, seen: Any) -> int | None:
    free: Any = suts.get(FREE)
    common = sorted(set(seen.timed) & set(free.timed)) if free else []
    common = [c for c in common if len(seen.at(c, "decode_s")) and len(free.at(c, "decode_s"))]
    return common[-1] if common else None


def _spill_slows(suts: dict, seen: Any) -> Judgement:
    top = _spill_top(suts, seen)
    if top is None:
        return Judgement(
            "not testable here", "no context ended well with and without the limit", []
        )
    found = compare.ratio(seen.at(top, "decode_s"), suts[FREE].at(top, "decode_s"))
    return _above(found, f"spill.decode.c{top}")


def _spill_between(hypothesis: Hypothesis, seen: Any, suts: dict, ledger: Ledger) -> Judgement:
    top = _spill_top(suts, seen)
    if top is None:
        return Judgement(
            "not testable here", "no context ended well with and without the limit", []
        )
    return _inside(hypothesis, f"spill.decode.c{top}", ledger)


def _spill_where(hypothesis: Hypothesis, ledger: Ledger) -> Judgement:
    """The predicted break is real (its own F test), and a search finds the same place."""
    named = ["spill.predicted_p", "spill.found_before", "spill.found_after"]
    if any(name not in ledger.findings for name in named):
        return Judgement("not testable here", "too few values under the limit for a break", [])
    p, before, after = (_value(ledger, name) for name in named)
    place = f"a search finds it between [[{named[1]}]] and [[{named[2]}]]"
    if p is None:
        return Judgement("inconclusive", "too few values on a side of the predicted context", named)
    if p > hypothesis.alpha:
        return Judgement("inconclusive", f"no break there that could be shown; {place}", named, p)
    agrees = (before or 0) <= (hypothesis.low or 0) < (after or 0)
    return Judgement("supported" if agrees else "refuted", place, named, p)


def decisions(ledger: Ledger, suts: dict) -> list[Decision]:
    """The context budget: which backend and attention, up to which context, on this machine."""
    eager: Any
    eager, sdpa, served = (suts.get(n) for n in ("smollm2-eager", "smollm2-sdpa", FREE))
    if sdpa is None:
        return []
    attention: Branch | Leaf = Leaf(advice="Use sdpa: eager attention was not measured here.")
    common = sorted(set(eager.timed) & set(sdpa.timed)) if eager else []
    if common:
        name = f"smollm2-eager.prefill_over_sdpa.c{common[-1]}"
        attention = Branch(
            question=f"Does eager attention take longer than sdpa at {common[-1]} tokens?",
            finding=name,
            holds=_above_one(ledger, name),
            yes=Leaf(advice="Transformers with sdpa at every context."),
            no=Leaf(advice="Transformers with sdpa: eager costs memory and gains nothing shown."),
        )
    node: Branch | Leaf = attention
    if served is not None and (compared := _backend(ledger, served, sdpa)):
        top = compared.rpartition(".c")[2]
        node = Branch(
            question=f"Does llama.cpp (Q4_1) start its answer sooner than sdpa at {top} tokens?",
            finding=compared,
            holds=_above_one(ledger, compared),
            yes=Leaf(
                advice="llama.cpp, up to the context of its slot, which is allocated at start."
            ),
            no=attention,
        )
    longest = _value(ledger, "smollm2-sdpa.context_at_85")
    if longest is not None:
        node = Branch(
            question=f"Do prompt and answer exceed {longest:.0f} tokens (85 % of the memory)?",
            yes=Leaf(
                advice="No budget here: shorten the prompt, or take a smaller model or cache."
            ),
            no=node,
        )
    return [Decision(id="context-budget", title="Which backend, up to which context?", root=node)]


def _backend(ledger: Ledger, served: Any, sdpa: Any) -> str | None:
    """Enter the ratio of times to first token at the longest common context."""
    common = sorted(set(served.timed) & set(sdpa.timed))
    if not common:
        return None
    name, top = f"backend.ttft.c{common[-1]}", common[-1]
    entries.ratio(
        ledger,
        name,
        f"time to first token of Transformers over that of llama.cpp at {top} tokens",
        sdpa.at(top, "ttft_s"),
        served.at(top, "ttft_s"),
        {"sut": [sdpa.sut, served.sut], "context": top, "cell_valid": True},
        notes="float32 against Q4_1: backends as they are run, not at equal precision",
    )
    return name


def _above_one(ledger: Ledger, name: str) -> bool | None:
    finding = ledger.findings.get(name)
    interval = finding.interval if finding else None
    if interval is None or interval.low is None or interval.high is None:
        return None
    return True if interval.low > 1 else False if interval.high < 1 else None
