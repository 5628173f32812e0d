"""TR124: what the findings say about the declared hypotheses."""

from collections.abc import Callable
from functools import partial
from typing import Any

from inferometer.analysis import Judgement, Ledger
from inferometer.design import Hypothesis
from inferometer.quality import entries, judging
from inferometer.quantization import ends, score_name

ABSENT = "what it compares has no valid cells on both sides"
SUT, OTHER = "llamacpp", "transformers"


def tests(ledger: Ledger, compared: Any) -> dict[str, Callable[[Hypothesis], Judgement]]:
    """The tests that design.yaml names, each a function of a hypothesis."""
    same = partial(_same, ledger, compared)
    return {
        "equal_composite": partial(same, f"{OTHER}.runtime.composite.difference"),
        "equal_mmlu": partial(same, "inside.mmlu.accuracy.difference"),
        "equal_arc_challenge": partial(same, "inside.arc_challenge.accuracy.difference"),
        "equal_tokens": partial(_bounded, ledger, "{sut}-inside.kl"),
        "repeats": partial(_all_alike, ledger, "{sut}.repeat.batch1.same_text"),
        "batch_free": partial(_all_alike, ledger, "{sut}.batch.same_text"),
        "noise_small": partial(_bounded, ledger, "{sut}.sampling.within_share"),
        "published_gate": partial(_bounded, ledger, score_name(SUT, "composite")),
        "published_rouge": partial(_bounded, ledger, score_name(SUT, "summarization-rouge_l")),
    }


def _same(ledger: Ledger, compared: Any, name: str, hypothesis: Hypothesis) -> Judgement:
    """Two one-sided tests within the margin; a whole interval beyond it refutes."""
    if name not in ledger.findings or name not in compared.tests:
        return Judgement("not testable here", ABSENT, [])
    margin = hypothesis.margin or 0.0
    shown, p = entries.equivalent(compared.tests[name], margin)
    seen = ends(ledger.findings[name])
    if shown:
        return Judgement("supported", f"[[{name}]] lies within `{margin:g}` either way", [name], p)
    if seen and ((seen[0] or 0.0) > margin or (seen[1] or 0.0) < -margin):
        return Judgement("refuted", f"[[{name}]] lies beyond `{margin:g}`", [name], p)
    return Judgement(
        "inconclusive", f"[[{name}]] is not shown to lie within `{margin:g}`", [name], p
    )


def _bounded(ledger: Ledger, pattern: str, hypothesis: Hypothesis) -> Judgement:
    """A whole interval on the declared side of a bound (`low` or `high`)."""
    name = pattern.format(sut=hypothesis.sut or SUT)
    return judging.bounded(ledger.findings.get(name), hypothesis, ABSENT)


def _all_alike(ledger: Ledger, pattern: str, hypothesis: Hypothesis) -> Judgement:
    """One item that differs refutes; none that does supports, for these items."""
    name = pattern.format(sut=hypothesis.sut)
    found = ledger.findings.get(name)
    if found is None or found.value is None:
        return Judgement(
            "not testable here", found.reason if found and found.reason else ABSENT, []
        )
    outcome = "supported" if found.value == 1 else "refuted"
    return Judgement(outcome, f"[[{name}|percent]] of [[{name}|n]] are the same", [name])
