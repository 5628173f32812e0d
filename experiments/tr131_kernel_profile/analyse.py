"""TR131: from observations to findings. Blocks are the replicates throughout."""

from inferometer.analysis import Analysis, Ledger, judge
from inferometer.experiments import Experiment
from inferometer.profilers import entries, validity
from inferometer.profilers.summary import Profile, profiles

COMPARED = {
    "serial_over_server": ("serial", "llamacpp-serial"),
    "batch_over_processes": ("batch", "processes"),
    "batch_over_threads": ("batch", "threads"),
    "continuous_over_batch": ("continuous", "batch"),
}
"""Name of a comparison -> its two SUTs; those of a GPU have the model's name before theirs."""


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    verdicts, draw = experiment.step("verdicts"), experiment.step("draw")
    labels = {name: sut.label or name for name, sut in experiment.design.suts.items()}
    suts = profiles(ledger.observations, labels)
    effort = experiment.design.plan(depth).effort
    for seen in suts.values():
        entries.rates(ledger, seen)
        entries.calls(ledger, seen)
        entries.time_by_class(ledger, seen)
        entries.amortizations(ledger, seen)
        tokens = int(effort["prompt_tokens"]), int(effort["output_tokens"])
        entries.bytes_per_token(ledger, seen, *tokens)
    _comparisons(ledger, suts)
    serial = next(
        (suts[name] for name in suts if name.endswith("serial") and suts[name].traced), None
    )
    if serial:
        entries.artefact(ledger, serial)
    return Analysis(
        verdicts=judge(experiment.design.hypotheses, verdicts.tests(ledger, suts))
        if depth != "quick"
        else [],
        decisions=verdicts.decisions(ledger, suts, experiment.design.hypotheses),
        figures=draw.figures(ledger, suts),
        validity=validity.rows(ledger),
        notes=validity.notes(suts),
    )


def _comparisons(ledger: Ledger, suts: dict[str, Profile]) -> None:
    """Efficiencies and total rates of two SUTs of one model against one another, at each N."""
    for name, (first, second) in COMPARED.items():
        for a in list(suts.values()):
            prefix = a.sut.removesuffix(first)
            b = suts.get(f"{prefix}{second}")
            if not a.sut.endswith(first) or b is None:
                continue
            for n in sorted(set(a.levels) & set(b.levels)):
                _compared(ledger, f"{prefix}{name}", a, b, n)


def _compared(ledger: Ledger, name: str, a: Profile, b: Profile, n: int) -> None:
    suts = {"sut": [a.sut, b.sut]}
    if n > 1:
        title = f"share of its speed that an agent keeps at N = {n}: {a.label} over {b.label}"
        entries.ratio(ledger, f"{name}.n{n}", title, a.eta(n), b.eta(n), a.where([1, n]) | suts)
    title = f"total rate at N = {n}: {a.label} over {b.label}"
    rates = a.at(n, "rate"), b.at(n, "rate")
    entries.ratio(ledger, f"{name}.rate.n{n}", title, *rates, a.where(n) | suts)
