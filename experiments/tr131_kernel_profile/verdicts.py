"""TR131: what the findings say about the declared hypotheses, and the decision they give."""

from collections.abc import Callable
from functools import partial

from inferometer.analysis import Judgement, Ledger, on_measured
from inferometer.design import Hypothesis
from inferometer.findings import Branch, Decision, Leaf
from inferometer.profilers import judging
from inferometer.profilers.summary import Profile

SERVER = "llamacpp-serial"


def tests(ledger: Ledger, suts: dict[str, Profile]) -> dict[str, Callable[[Hypothesis], Judgement]]:
    """The tests that design.yaml names, each a function of a hypothesis."""
    on_sut = partial(on_measured, suts, ledger, judging.ABSENT)
    return {
        "falls": on_sut(_falls),
        "same_efficiency": on_sut(lambda h, seen, _: _same_efficiency(h, seen, suts)),
        "keeps_more_than_processes": on_sut(partial(_keeps_more, suts, "processes")),
        "keeps_more_than_threads": on_sut(partial(_keeps_more, suts, "threads")),
        "amortization_between": on_sut(partial(_at_top, "amortization")),
        "amortized_share": on_sut(partial(_at_top, "amortized_share")),
        "overlaps": on_sut(partial(_at_top, "max_concurrency")),
        "profiling_harmless": on_sut(lambda h, seen, _: judging.harmless(h, seen)),
    }


def _top(*suts: Profile | None) -> int | None:
    """The largest N above 1 that all of them were measured at; N = 1 is needed as well."""
    if any(seen is None or 1 not in seen.levels for seen in suts):
        return None
    common = set.intersection(*(set(seen.levels) for seen in suts if seen)) - {1}
    return max(common, default=None)


def _falls(hypothesis: Hypothesis, seen: Profile, ledger: Ledger) -> Judgement:
    n = _top(seen)
    if n is None:
        return Judgement("not testable here", judging.ABSENT, [])
    name = f"{seen.sut}.eta.n{n}"
    return judging.below_one(seen.at(n, "per_agent"), seen.at(1, "per_agent"), name, paired=True)


def _same_efficiency(hypothesis: Hypothesis, seen: Profile, suts: dict[str, Profile]) -> Judgement:
    server = suts.get(SERVER)
    n = _top(seen, server)
    if n is None or server is None:
        return Judgement("not testable here", judging.ABSENT, [])
    return judging.same(hypothesis, seen.eta(n), server.eta(n), [f"serial_over_server.n{n}"])


def _keeps_more(
    suts: dict[str, Profile], other: str, hypothesis: Hypothesis, seen: Profile, ledger: Ledger
) -> Judgement:
    against = suts.get(other)
    n = _top(seen, against)
    if n is None or against is None:
        return Judgement("not testable here", judging.ABSENT, [])
    name = f"batch_over_{other}.n{n}"
    return judging.above_one(seen.eta(n), against.eta(n), name, paired=False)


def _at_top(quantity: str, hypothesis: Hypothesis, seen: Profile, ledger: Ledger) -> Judgement:
    """A quantity of the traces at the largest N, against the declared bounds."""
    if not seen.traced:
        return Judgement("not testable here", judging.NOT_TRACED, [])
    return judging.inside(hypothesis, ledger, f"{seen.sut}.{quantity}.n{seen.traced[-1]}")


def decisions(
    ledger: Ledger, suts: dict[str, Profile], hypotheses: dict[str, Hypothesis]
) -> list[Decision]:
    """The causal question, for each model: server or device; concurrency or the work itself."""
    found = []
    for name in suts:
        prefix = name.removesuffix("serial")
        n = _top(*(suts.get(f"{prefix}{control}") for control in ("serial", "processes", "batch")))
        if name.endswith("serial") and n is not None:
            root = _server(ledger, prefix, n, hypotheses["same_without_server"])
            title = f"What makes agents slower ({suts[name].label})?"
            found.append(Decision(id=f"{prefix}cause", title=title, root=root))
    return found


def _server(ledger: Ledger, prefix: str, n: int, margin: Hypothesis) -> Branch:
    """Whether the fall is there without a server, and of the same size."""
    node = _device(ledger, prefix, n)
    compared = f"{prefix}serial_over_server.n{n}"
    if compared in ledger.findings:
        node = Branch(
            question="Is the share that it keeps the server's own, within the declared margin?",
            finding=compared,
            holds=_within(ledger, compared, margin),
            yes=node,
            no=Leaf(advice="The server changes the fall by itself: look into its scheduling."),
        )
    fall = f"{prefix}serial.eta.n{n}"
    above = judging.beyond_one(ledger, fall)
    return Branch(
        question=f"Without a server in between, is each agent slower at N = {n} than alone?",
        finding=fall,
        holds=None if above is None else not above,
        yes=node,
        no=Leaf(advice="The server is the cause: without it nothing falls. Change the server."),
    )


def _within(ledger: Ledger, name: str, hypothesis: Hypothesis) -> bool | None:
    """Whether an interval lies inside the margin (True), outside (False), or crosses it (None)."""
    seen, (low, high) = ledger.findings[name].interval, judging.margins(hypothesis)
    if seen is None or seen.low is None or seen.high is None:
        return None
    if low <= seen.low and seen.high <= high:
        return True
    return False if seen.low > high or seen.high < low else None


def _device(ledger: Ledger, prefix: str, n: int) -> Branch:
    """Given that the server is not the cause: the concurrency, or the work itself."""
    follows: Leaf | Branch = Leaf(
        advice="It follows the concurrency: separate streams of work take turns on one device. "
        "Batch them; more instances of the model do not help."
    )
    threads, processes = (f"{prefix}batch_over_{name}.n{n}" for name in ("threads", "processes"))
    if threads in ledger.findings:
        follows = Branch(
            question=f"And more than {n} threads of one process?",
            finding=threads,
            holds=judging.beyond_one(ledger, threads),
            yes=follows,
            no=Leaf(
                advice="Processes lose by being separate, threads of one process do not: share "
                "one model, batched or in threads."
            ),
        )
    return Branch(
        question=f"Does one batch of {n} keep more of an agent's speed than {n} processes?",
        finding=processes,
        holds=judging.beyond_one(ledger, processes),
        yes=follows,
        no=Leaf(
            advice="It follows the work itself: one batch falls as well. Only a faster device or "
            "a smaller model helps."
        ),
    )
