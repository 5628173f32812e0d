"""TR132: what the findings say about the declared hypotheses, and the decisions they give."""

from collections.abc import Callable
from functools import partial

import pandas as pd

from inferometer.analysis import Judgement, Ledger, on_measured
from inferometer.design import Hypothesis
from inferometer.findings import Branch, Decision, Leaf
from inferometer.profilers import judging
from inferometer.profilers.amortization import amortization
from inferometer.profilers.entries import per_block
from inferometer.profilers.summary import Profile

Pairs = dict[str, tuple[Profile, Profile]]


def tests(ledger: Ledger, suts: dict[str, Profile]) -> dict[str, Callable[[Hypothesis], Judgement]]:
    """The tests that design.yaml names, each a function of a hypothesis."""
    on_sut = partial(on_measured, suts, ledger, judging.ABSENT)
    return {
        "fewer_calls": on_sut(partial(_less, suts, "calls_ratio")),
        "faster": on_sut(partial(_less, suts, "time_ratio")),
        "amortization_between": on_sut(partial(_at_top, "amortization")),
        "change_between": on_sut(partial(_at_top, "change")),
        "same_amortization": partial(
            _same_amortization, suts, "vllm-continuous", "transformers-continuous"
        ),
        "same_in_containers": partial(_same_amortization, suts, "vllm-container", "tgi-container"),
        "gain_is_amortization": on_sut(_gain_is_amortization),
    }


def _less(
    suts: dict[str, Profile], quantity: str, hypothesis: Hypothesis, seen: Profile, ledger: Ledger
) -> Judgement:
    """Continuous batching takes less than one sequence at a time, at the largest N of both."""
    stack = seen.sut.removesuffix("-continuous")
    serial = suts.get(f"{stack}-serial")
    if serial is None:
        return Judgement("not testable here", judging.ABSENT, [])
    by_calls = quantity == "calls_ratio"
    levels = set(seen.traced if by_calls else seen.levels)
    levels &= set(serial.traced if by_calls else serial.levels)
    if not levels:
        return Judgement("not testable here", judging.NOT_TRACED, [])
    n = max(levels)
    sides = [
        each.trace_at(n, seen.calls) if by_calls else each.at(n, "s_per_token")
        for each in (seen, serial)
    ]
    return judging.below_one(sides[0], sides[1], f"{stack}.{quantity}.n{n}", paired=False)


def _at_top(quantity: str, hypothesis: Hypothesis, seen: Profile, ledger: Ledger) -> Judgement:
    """A quantity of the traces at the largest N, against the declared bounds."""
    if not seen.traced:
        return Judgement("not testable here", judging.NOT_TRACED, [])
    return judging.inside(hypothesis, ledger, f"{seen.sut}.{quantity}.n{seen.traced[-1]}")


def _factors(seen: Profile, n: int) -> pd.Series:
    """Amortization at N, one value per block."""
    found = per_block(seen, n, "all", amortization)
    return pd.Series({block: one.factor for block, one in found.items()}, dtype=float)


def _same_amortization(
    suts: dict[str, Profile], first: str, second: str, hypothesis: Hypothesis
) -> Judgement:
    one, other = suts.get(first), suts.get(second)
    if one is None or other is None:
        return Judgement("not testable here", judging.ABSENT, [])
    levels = (set(one.traced) & set(other.traced)) - {1}
    if not levels:
        return Judgement("not testable here", judging.NOT_TRACED, [])
    n = max(levels)
    named = [f"{each.sut}.amortization.n{n}" for each in (one, other)]
    return judging.same(hypothesis, _factors(one, n), _factors(other, n), named)


def _gain_is_amortization(hypothesis: Hypothesis, seen: Profile, ledger: Ledger) -> Judgement:
    """The growth of the total rate from one sequence to N, against the amortization at N."""
    levels = set(seen.traced) & set(seen.levels) - {1}
    if not levels or 1 not in seen.levels:
        return Judgement("not testable here", judging.NOT_TRACED, [])
    n = max(levels)
    gain = n * seen.eta(n)
    named = [f"{seen.sut}.gain.n{n}", f"{seen.sut}.amortization.n{n}"]
    return judging.same(hypothesis, gain, _factors(seen, n), named)


def decisions(ledger: Ledger, pairs: Pairs) -> list[Decision]:
    """For each stack: whether to let it batch, and from which N on."""
    found = []
    for stack, (serial, continuous) in pairs.items():
        levels = sorted(set(serial.levels) & set(continuous.levels))
        if not levels:
            continue
        start = _batching_from(ledger, stack, levels)
        name, alone = f"{stack}.time_ratio.n{start}", f"{stack}.time_ratio.n{levels[0]}"
        let = Leaf(advice="Let it batch: a token takes less time.")
        serially = Leaf(advice="One sequence at a time: batching brings nothing that was shown.")
        above = judging.beyond_one(ledger, name)
        slower = judging.beyond_one(ledger, alone)
        root = Branch(
            question=f"Do {start} or more sequences come at once?",
            yes=Branch(
                question=f"Does continuous batching take less time per token at N = {start}?",
                finding=name,
                holds=None if above is None else not above,
                yes=let,
                no=serially,
            ),
            no=Branch(
                question=f"Does it take more time per token at N = {levels[0]}?",
                finding=alone,
                holds=slower,
                yes=serially,
                no=Leaf(advice="Let it batch: alone it costs nothing that was shown."),
            ),
        )
        title = f"Continuous batching in {stack}?"
        found.append(Decision(id=f"{stack}-batching", title=title, root=root))
    return found


def _batching_from(ledger: Ledger, stack: str, levels: list[int]) -> int:
    """The smallest N from which batching takes less time at every N, else the largest N."""
    start = levels[-1]
    for n in reversed(levels):
        if judging.beyond_one(ledger, f"{stack}.time_ratio.n{n}") is not False:
            break
        start = n
    return start
