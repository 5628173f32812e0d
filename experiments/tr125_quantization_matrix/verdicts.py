"""TR125: what the findings say about the declared hypotheses."""

from collections.abc import Callable
from functools import partial
from typing import Any

from inferometer import quantization as names
from inferometer.analysis import Judgement, Ledger
from inferometer.design import Hypothesis
from inferometer.findings import Finding
from inferometer.quality import judging
from inferometer.quantization import ends

ABSENT = "the level or its baseline was not measured"


def tests(ledger: Ledger, found: dict[str, Any]) -> dict[str, Callable[[Hypothesis], Judgement]]:
    """The tests that design.yaml names, each a function of a hypothesis."""
    levels = {one.served: one for model in found.values() for one in model.levels}
    about = partial(partial, ledger=ledger, levels=levels)
    return {
        "keeps": about(_bounded, name=_worst),
        "fails": about(_bounded, name=_worst),
        "perplexity_below": about(_bounded, name=_perplexity),
        "faster": about(_above_one),
        "nominal_bits": about(_bits),
        "cliff": partial(_cliff, ledger, found),
    }


def _worst(one: Any) -> str:
    return names.difference_name(one.model, one.level, names.WORST)


def _perplexity(one: Any) -> str:
    return names.perplexity_name(one.model, one.level)


def _of(
    ledger: Ledger, levels: dict[str, Any], sut: str | None, name: Callable[[Any], str]
) -> Finding | str:
    """The finding of a hypothesis' level, or why there is none."""
    found = ledger.findings.get(name(levels[sut])) if sut in levels else None
    if found is None or found.value is None:
        return (found.reason if found else None) or ABSENT
    return found


def _bounded(
    hypothesis: Hypothesis, *, ledger: Ledger, levels: dict[str, Any], name: Callable[[Any], str]
) -> Judgement:
    """A whole interval on the declared side of a bound (`low` or `high`)."""
    found = ledger.findings.get(name(levels[hypothesis.sut])) if hypothesis.sut in levels else None
    return judging.bounded(found, hypothesis, ABSENT)


def _above_one(hypothesis: Hypothesis, *, ledger: Ledger, levels: dict[str, Any]) -> Judgement:
    found = _of(ledger, levels, hypothesis.sut, lambda one: f"{one.name}.speed_ratio")
    if isinstance(found, str):
        return Judgement("not testable here", found, [])
    seen = ends(found)
    if seen is None or None in seen:
        return Judgement("inconclusive", f"[[{found.id}]] has no interval", [found.id])
    outcome = "supported" if seen[0] > 1 else "refuted" if seen[1] < 1 else "inconclusive"
    return Judgement(outcome, f"[[{found.id}]]", [found.id])  # type: ignore[arg-type]


def _bits(hypothesis: Hypothesis, *, ledger: Ledger, levels: dict[str, Any]) -> Judgement:
    """Counted in the file: no interval is needed."""
    found = _of(ledger, levels, hypothesis.sut, lambda one: names.bits_name(one.model, one.level))
    if isinstance(found, str) or not isinstance(found.value, float | int):
        return Judgement("not testable here", found if isinstance(found, str) else ABSENT, [])
    outcome = "supported" if found.value < (hypothesis.high or 0.0) else "refuted"
    return Judgement(outcome, f"[[{found.id}]]", [found.id])  # type: ignore[arg-type]


def _cliff(ledger: Ledger, found: dict[str, Any], hypothesis: Hypothesis) -> Judgement:
    names_ = [f"{model}.cliff" for model in found if f"{model}.cliff" in ledger.findings]
    if not names_:
        return Judgement("not testable here", ABSENT, [])
    seen = ends(ledger.findings[names_[0]])
    if seen is None or None in seen:
        return Judgement("inconclusive", f"[[{names_[0]}]] has no interval", names_[:1])
    outcome = "supported" if seen[0] > 0 else "refuted" if seen[1] < 0 else "inconclusive"
    return Judgement(outcome, f"[[{names_[0]}]]", names_[:1])  # type: ignore[arg-type]
