"""Hypotheses of quality that a finding's interval decides."""

from inferometer.analysis import Judgement
from inferometer.design import Hypothesis
from inferometer.findings import Finding, Outcome
from inferometer.quality.tiers import at_least, at_most
from inferometer.quantization import ends

OUTCOMES: dict[str, Outcome] = {
    "pass": "supported",
    "fail": "refuted",
    "undecided": "inconclusive",
}


def bounded(found: Finding | None, hypothesis: Hypothesis, absent: str) -> Judgement:
    """A whole interval on the declared side of a bound (`low` or `high`) supports.

    A whole one on the other side refutes. `absent` is the reason where there is no finding, or
    one without a value that does not say why.
    """
    if found is None or found.value is None:
        why = found.reason if found and found.reason else absent
        return Judgement("not testable here", why, [])
    if hypothesis.low is not None:
        judged, side = at_least(ends(found), hypothesis.low), f"at least `{hypothesis.low:g}`"
    else:
        high = hypothesis.high or 0.0
        judged, side = at_most(ends(found), high), f"at most `{high:g}`"
    return Judgement(OUTCOMES[judged], f"[[{found.id}]] against {side}", [found.id])
