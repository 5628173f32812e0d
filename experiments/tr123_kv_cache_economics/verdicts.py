"""TR123: what the findings say about the declared hypotheses, and the decisions they give."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from inferometer.analysis import Judgement, Ledger
from inferometer.design import Hypothesis
from inferometer.economics.blends import BLENDS, DEFAULT_BLEND
from inferometer.economics.estimate import Estimate
from inferometer.findings import Branch, Decision, Leaf, Node

ABSENT = "this SUT was not measured"
LAPTOP = "RTX 4080 Laptop"
LAPTOP_PRICE = "rtx4080-laptop"


def tests(ledger: Ledger, suts: dict[str, Any], priced: Any) -> dict[str, Callable]:
    """The tests that design.yaml names, each a function of a hypothesis."""
    return {
        "cache_pays": lambda h: _all_above(h, _gains(suts, False), 1.0),
        "cache_twofold": lambda h: _all_above(h, _gains(suts, True), h.low),
        "decode_dearer": lambda h: _all_above(h, _phase_ratios(suts), 1.0),
        "kv_formula": lambda h: _kv_formula(h, ledger, suts),
        "gqa_factor": lambda h: _gqa_factor(h, ledger),
        "published_cost": lambda h: _published_cost(h, ledger, suts),
        "energy_keeps_ranking": lambda h: _energy_keeps_ranking(h, suts, priced),
    }


Ratios = dict[str, tuple[dict[int, float], dict[int, float]]]


def _gains(suts: dict[str, Any], longest: bool) -> Ratios:
    """Finding -> seconds per decode step of the blocks, without and with the cache."""
    column = "cold_decode_s_per_token"
    return {
        f"{seen.sut}.cache_gain.{scenario.replace('/', '-')}": (
            seen.at(scenario, column, "off"),
            seen.at(scenario, column),
        )
        for seen in suts.values()
        for scenario in (seen.pairs[-1:] if longest else seen.pairs)
    }


def _phase_ratios(suts: dict[str, Any]) -> Ratios:
    return {
        f"{seen.sut}.decode_over_prefill.{scenario.replace('/', '-')}": (
            seen.at(scenario, "decode_s_per_token"),
            seen.at(scenario, "prefill_s_per_token"),
        )
        for seen in suts.values()
        for scenario in seen.scenarios
    }


def _all_above(hypothesis: Hypothesis, ratios: Ratios, bound: float | None) -> Judgement:
    """Every ratio above the bound at once, with Bonferroni's simultaneous width."""
    if not ratios or bound is None:
        return Judgement("not testable here", "no SUT was measured both ways", [])
    confidence = 1 - hypothesis.alpha / len(ratios)
    named, below, still_open = list(ratios), [], []
    for name, (above, under) in ratios.items():
        seen = Estimate.of_ratio(above, under, "", confidence)
        if seen.ci is None or seen.ci[0] is None or seen.ci[1] is None:
            still_open.append(name)
        elif seen.ci[1] < bound:
            below.append(name)
        elif seen.ci[0] <= bound:
            still_open.append(name)
    if below:
        return Judgement("refuted", f"not at {_listed(below)}", named)
    if still_open:
        return Judgement("inconclusive", f"not told from the bound at {_listed(still_open)}", named)
    return Judgement("supported", "every simultaneous interval lies above the bound", named)


def _listed(names: list[str]) -> str:
    shown = "; ".join(f"`{name}` [[{name}]]" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown}; and others"


def _kv_formula(hypothesis: Hypothesis, ledger: Ledger, suts: dict[str, Any]) -> Judgement:
    """Allocation is deterministic: the largest error of all records decides, without a sample."""
    named = [f"{sut}.{key}" for sut in suts for key in ("kv_error", "kv_error_layer")]
    known = {n: ledger.findings[n].value for n in named if ledger.findings[n].value is not None}
    if not known or hypothesis.margin is None:
        return Judgement("not testable here", "no record says how large its cache is", [])
    worst = max(known, key=lambda name: abs(float(known[name])))  # type: ignore[arg-type]
    text = f"deterministic, so decided by bounds: the largest error is [[{worst}|percent]]"
    inside = abs(float(known[worst])) <= hypothesis.margin  # type: ignore[arg-type]
    return Judgement("supported" if inside else "refuted", text, list(known))


def _gqa_factor(hypothesis: Hypothesis, ledger: Ledger) -> Judgement:
    """Ratios of allocated bytes: deterministic too, so inside or outside."""
    named = [name for name in ledger.findings if ".saves_against." in name]
    known = {n: ledger.findings[n].value for n in named if ledger.findings[n].value is not None}
    if not known or hypothesis.low is None or hypothesis.high is None:
        reason = "needs a GQA model and an MHA model, measured both"
        return Judgement("not testable here", reason, [])
    outside = [n for n, v in known.items() if not hypothesis.low <= float(v) <= hypothesis.high]  # type: ignore[arg-type]
    if outside:
        return Judgement("refuted", f"outside at {_listed(outside)}", list(known))
    text = f"deterministic, so decided by bounds: inside at {_listed(list(known))}"
    return Judgement("supported", text, list(known))


def _published_cost(hypothesis: Hypothesis, ledger: Ledger, suts: dict[str, Any]) -> Judgement:
    """Only the published machine can decide a figure that is its speed times its price."""
    seen = suts.get(str(hypothesis.sut))
    if seen is None or LAPTOP not in str(seen.words.get("device_name")):
        reason = "it names a GPU and its price; neither is this machine's"
        return Judgement("not testable here", reason, [])
    name = f"{hypothesis.sut}.cost.{DEFAULT_BLEND}.{LAPTOP_PRICE}"
    interval = ledger.findings[name].interval if name in ledger.findings else None
    if interval is None or interval.low is None or interval.high is None:
        return Judgement("inconclusive", "the cost has no interval", [])
    low, high = hypothesis.low or 0.0, hypothesis.high or 0.0
    if interval.low > high or interval.high < low:
        return Judgement("refuted", f"[[{name}]], wholly outside", [name])
    if interval.low >= low and interval.high <= high:
        return Judgement("supported", f"[[{name}]], wholly inside", [name])
    return Judgement("inconclusive", f"[[{name}]], which crosses a bound", [name])


def _energy_keeps_ranking(hypothesis: Hypothesis, suts: dict[str, Any], priced: Any) -> Judgement:
    """Orders agree when neighbours by time are told apart by energy in the same direction."""
    order = priced.orders[DEFAULT_BLEND]
    if priced.energy_order is None or len(order) < 2:
        reason = priced.energy_missing or "fewer than two SUTs were measured"
        return Judgement("not testable here", f"`{reason}`", [])
    named = ["ranking.cost", "ranking.energy"]
    work = BLENDS[DEFAULT_BLEND]
    joules = {sut: _joules(suts[sut].blocks(priced.reference), work) for sut in order}
    confidence = 1 - hypothesis.alpha / (len(order) - 1)
    unclear = False
    for first, second in pairwise(order):
        ratio = Estimate.of_ratio(joules[second], joules[first], "", confidence)
        if ratio.ci is None or ratio.ci[0] is None or ratio.ci[1] is None:
            unclear = True
        elif ratio.ci[1] < 1:
            return Judgement("refuted", f"`{second}` needs less energy than `{first}`", named)
        else:
            unclear |= ratio.ci[0] <= 1
    if unclear:
        return Judgement("inconclusive", "neighbours are not told apart by energy", named)
    return Judgement("supported", "every neighbour by time needs more energy, too", named)


def _joules(blocks: dict[int, Any], blend: Any) -> dict[int, float]:
    share = blend.input_share
    return {b: share * v.prefill_j + (1 - share) * v.decode_j for b, v in blocks.items()}


def decisions(ledger: Ledger, suts: dict[str, Any], priced: Any) -> list[Decision]:
    """Whether to keep the cache, and which SUT is cheapest for which blend, on this machine."""
    found = [_cache(ledger, seen) for seen in suts.values() if seen.pairs]
    if len(priced.orders[DEFAULT_BLEND]) > 1:
        found.append(_cheapest(ledger, suts, priced))
    return found


def _cache(ledger: Ledger, seen: Any) -> Decision:
    """With the shortest and the longest paired prompt as the reader's cases."""
    short, long = seen.pairs[0], seen.pairs[-1]
    keep = Leaf(advice="Keep the KV cache on.")
    drop = Leaf(advice="Decode without the KV cache: it costs time here.")

    def branch(scenario: str) -> Branch:
        name = f"{seen.sut}.cache_gain.{scenario.replace('/', '-')}"
        return Branch(
            question=f"Does decode take longer without the cache, scenario {scenario}?",
            finding=name,
            holds=_above_one(ledger, name),
            yes=keep,
            no=drop,
        )

    prompt = long.partition("/")[0]
    root = Branch(
        question=f"Are prompts about {prompt} tokens or longer?", yes=branch(long), no=branch(short)
    )
    return Decision(id=f"cache-{seen.sut}", title=f"KV cache of {seen.label}", root=root)


def _cheapest(ledger: Ledger, suts: dict[str, Any], priced: Any) -> Decision:
    """Blends with the same answer share a branch; the last one is the remainder."""
    groups: dict[tuple, list[str]] = {}
    for blend in BLENDS:
        first, second = priced.orders[blend][:2]
        told = _above_one(ledger, f"{second}.over_next.{blend}")
        groups.setdefault((first, second, told), []).append(blend)
    nodes = [_choice(ledger, suts, blends, *key[:2]) for key, blends in groups.items()]
    root: Node = nodes[-1]
    for node, blends in reversed(list(zip(nodes, list(groups.values()), strict=True))[:-1]):
        kinds = ", ".join(BLENDS[blend].title.lower() for blend in blends)
        root = Branch(question=f"Is the work one of: {kinds}?", yes=node, no=root)
    return Decision(id="model", title="Which SUT for which work?", root=root)


def _choice(
    ledger: Ledger, suts: dict[str, Any], blends: list[str], first: str, second: str
) -> Branch:
    name = f"{second}.over_next.{blends[0]}"
    one, two = suts[first].label, suts[second].label
    return Branch(
        question=f"Does a million tokens of {blends[0]} take longer on {two} than on {one}?",
        finding=name,
        holds=_above_one(ledger, name),
        yes=Leaf(advice=f"{one} is the cheapest per token, at any one price per hour."),
        no=Leaf(advice=f"Either {one} or {two}; no difference could be shown here."),
    )


def _above_one(ledger: Ledger, name: str) -> bool | None:
    interval = ledger.findings[name].interval
    if interval is None or interval.low is None or interval.high is None:
        return None
    return True if interval.low > 1 else False if interval.high < 1 else None
