"""TR126: what the findings say about the declared hypotheses, and the decision they give."""

from collections.abc import Callable
from functools import partial
from typing import Any

from inferometer.analysis import Judgement, Ledger, on_measured
from inferometer.design import Hypothesis
from inferometer.economics.estimate import Estimate
from inferometer.findings import Branch, Decision, Leaf, Node
from inferometer.stats import equivalence
from inferometer.stats.inputs import MIN_BLOCKS

ABSENT = "this SUT was not measured here; the top of the report says why where it is known"
UNTIMED = "no length ended well in it and in eager code"
CRASH_ARMS = ("default", "reduce")


def tests(
    ledger: Ledger, arms: dict[str, Any], speed: Any
) -> dict[str, Callable[[Hypothesis], Judgement]]:
    """The tests that design.yaml names, each a function of a hypothesis."""
    on_arm = partial(on_measured, arms, ledger, ABSENT)
    return {
        "compilation_real": lambda _: _compilation_real(ledger, arms),
        "same_tokens": lambda _: _same_tokens(ledger, arms),
        "decode_crashes": lambda _: _decode_crashes(ledger, arms),
        "prefill_between": on_arm(lambda h, seen, _: _between(h, seen, arms)),
        "prefill_faster": on_arm(lambda _, seen, led: _faster(seen, led, "prefill")),
        "decode_faster": on_arm(lambda _, seen, led: _faster(seen, led, "decode")),
        "prefill_same": on_arm(lambda h, seen, led: _same(h, seen, arms, speed, led, "prefill")),
        "decode_same": on_arm(lambda h, seen, led: _same(h, seen, arms, speed, led, "decode")),
    }


def _value(ledger: Ledger, name: str) -> float | None:
    finding = ledger.findings.get(name)
    return None if finding is None or finding.value is None else float(finding.value)


def _listed(names: list[str]) -> str:
    shown = "; ".join(f"`{name}` [[{name}]]" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown}; and others"


def _compilation_real(ledger: Ledger, arms: dict[str, Any]) -> Judgement:
    """Counts are deterministic, so bounds decide: every block of every compiled arm counts."""
    compiled = [seen for seen in arms.values() if seen.compiled]
    if not compiled:
        return Judgement("not testable here", "no compiled SUT was measured", [])
    names, wrong = [], []
    for seen in compiled:
        wanted = {"graphs_compiled": True, "kernels_generated": True, "graph_breaks": False}
        for column, some in wanted.items():
            names.append(f"{seen.sut}.{column}")
            counts = seen.per_block(column).values()
            if not all((count > 0) is some for count in counts):
                wrong.append(names[-1])
        names.append(f"{seen.sut}.in_region")
        if _value(ledger, names[-1]):
            wrong.append(names[-1])
    if wrong:
        return Judgement("refuted", f"not so: {_listed(wrong)}", names)
    return Judgement("supported", "deterministic, so decided by counts, in every block", names)


def _same_tokens(ledger: Ledger, arms: dict[str, Any]) -> Judgement:
    names = [f"{seen.sut}.same_output" for seen in arms.values()]
    names = [name for name in names if _value(ledger, name) is not None]
    if not names:
        return Judgement("not testable here", "no output has one of eager code to compare with", [])
    other = [name for name in names if _value(ledger, name) != 1]
    if other:
        return Judgement("refuted", f"share of the same outputs: {_listed(other)}", names)
    return Judgement("supported", "every output checked is the same", names)


def _decode_crashes(ledger: Ledger, arms: dict[str, Any]) -> Judgement:
    """All crashed, none did, or some: in both modes, of all models measured."""
    tried = [seen for seen in arms.values() if seen.compiled and seen.arm in CRASH_ARMS]
    names = [f"{seen.sut}.decode_crashes" for seen in tried]
    shares = {name: _value(ledger, name) for name in names}
    if {seen.arm for seen in tried} != set(CRASH_ARMS) or None in shares.values():
        return Judgement("not testable here", "both modes have to be measured", [])
    text = f"shares that crashed: {_listed(names)}"
    if all(share == 1 for share in shares.values()):
        return Judgement("supported", text, names)
    if not any(shares.values()):
        return Judgement("refuted", f"none crashed; {text}", names)
    return Judgement("inconclusive", f"some crash, others do not; {text}", names)


def _between(hypothesis: Hypothesis, seen: Any, arms: dict[str, Any]) -> Judgement:
    """Every length's ratio to eager inside the bounds, with Bonferroni's simultaneous width."""
    eager = arms.get(f"{seen.model}-eager")
    if eager is None:
        return Judgement("not testable here", "its eager arm was not measured", [])
    ratios = {
        f"{seen.sut}.prefill_over_eager.p{prompt}": (ours, theirs)
        for prompt in seen.prompts
        if (ours := seen.at(prompt, "prefill_s")).keys()
        & (theirs := eager.at(prompt, "prefill_s")).keys()
    }
    if not ratios:
        return Judgement("not testable here", UNTIMED, [])
    low, high = hypothesis.low or 0.0, hypothesis.high or 1.0
    confidence = 1 - hypothesis.alpha / len(ratios)
    outside, crossing = [], []
    for name, (ours, theirs) in ratios.items():
        ci = Estimate.of_ratio(ours, theirs, "", confidence).ci
        if ci is None or ci[0] is None or ci[1] is None:
            crossing.append(name)
        elif ci[0] > high or ci[1] < low:
            outside.append(name)
        elif ci[0] < low or ci[1] > high:
            crossing.append(name)
    if outside:
        return Judgement("refuted", f"over eager, wholly outside: {_listed(outside)}", list(ratios))
    if crossing:
        text = f"over eager, across a bound: {_listed(crossing)}"
        return Judgement("inconclusive", text, list(ratios))
    return Judgement("supported", "every simultaneous interval lies inside", list(ratios))


def _longest(seen: Any, part: str) -> int | None:
    """The longest prompt at which this arm was compared with eager."""
    prompts = [p for p in seen.prompts if f"{seen.sut}.{part}_over_eager.p{p}" in _names(seen)]
    return prompts[-1] if prompts else None


def _names(seen: Any) -> dict[str, Any]:
    return seen.ledger.findings


def _faster(seen: Any, ledger: Ledger, part: str) -> Judgement:
    prompt = _longest(seen, part)
    if prompt is None:
        return Judgement("not testable here", UNTIMED, [])
    name = f"{seen.sut}.{part}_over_eager.p{prompt}"
    interval, p = ledger.findings[name].interval, seen.ratios.get((part, prompt))
    text = f"over eager [[{name}]]"
    if interval is None or interval.low is None or interval.high is None or p is None:
        return Judgement("inconclusive", f"no interval; {text}", [name])
    if interval.high < 1:
        return Judgement("supported", text, [name], p)
    return Judgement("refuted" if interval.low > 1 else "inconclusive", text, [name], p)


def _same(
    hypothesis: Hypothesis, seen: Any, arms: dict[str, Any], speed: Any, ledger: Ledger, part: str
) -> Judgement:
    """TOST, paired by block, on the ratio to the arm `default` of the same model."""
    default = arms.get(f"{seen.model}-default")
    column = speed.COLUMNS[part][0]
    prompts = [p for p in seen.prompts if f"{seen.sut}.{part}_over_default.p{p}" in ledger.findings]
    if default is None or not prompts or hypothesis.margin is None:
        return Judgement("not testable here", "both modes have to be measured", [])
    name = f"{seen.sut}.{part}_over_default.p{prompts[-1]}"
    ours, theirs = seen.at(prompts[-1], column), default.at(prompts[-1], column)
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) < MIN_BLOCKS:
        return Judgement("inconclusive", f"too few blocks; over default [[{name}]]", [name])
    low, high = 1 / (1 + hypothesis.margin), 1 + hypothesis.margin
    a, b = ([side[block] for block in shared] for side in (ours, theirs))
    found = equivalence.tost_paired(a, b, low, high, scale="ratio")
    text = f"over default [[{name}]]"
    if found.ci90 is not None and (found.ci90[0] > high or found.ci90[1] < low):
        return Judgement("refuted", f"wholly beyond the margin: {text}", [name], found.p)
    return Judgement("supported" if found.equivalent else "inconclusive", text, [name], found.p)


def decisions(ledger: Ledger, arms: dict[str, Any]) -> list[Decision]:
    """For every model: compile or stay eager, by the arm that is the fastest at long prompts."""
    found = []
    for model in dict.fromkeys(seen.model for seen in arms.values()):
        tried = [s for s in arms.values() if s.model == model and s.compiled]
        known = [(ratio, s) for s in tried if (ratio := _request(ledger, s)) is not None]
        if known:
            best = min(known, key=lambda pair: float(ledger.findings[pair[0]].value or 0))
            found.append(_decision(ledger, model, best[1], best[0]))
    return found


def _request(ledger: Ledger, seen: Any) -> str | None:
    """The ratio of whole requests at the longest length that was compared."""
    prompt = _longest(seen, "request")
    name = f"{seen.sut}.request_over_eager.p{prompt}"
    return name if _value(ledger, name) is not None else None


def _decision(ledger: Ledger, model: str, seen: Any, ratio: str) -> Decision:
    interval = ledger.findings[ratio].interval
    holds: bool | None = None
    if interval is not None and interval.low is not None and interval.high is not None:
        holds = True if interval.high < 1 else False if interval.low > 1 else None
    prompt = ratio.rpartition(".p")[2]
    pays = ledger.findings.get(f"{seen.sut}.request_pays.p{prompt}")
    stay = Leaf(advice="Stay eager: compiling costs time, and no gain could be shown.")
    node: Node = stay
    if pays is not None and pays.value is not None:
        node = Branch(
            question=f"Does one process serve more than {float(pays.value):.0f} such requests?",
            yes=Leaf(advice=f"Compile: {seen.label}."),
            no=Leaf(advice="Stay eager: the process ends before compiling has paid for itself."),
        )
    root = Branch(
        question=f"Is a request of {prompt} prompt tokens faster with {seen.sut} than eager?",
        finding=ratio,
        holds=holds,
        yes=node,
        no=stay,
    )
    return Decision(id=f"compile-{model}", title=f"Compile {model} or not?", root=root)
