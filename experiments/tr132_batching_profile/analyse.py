"""TR132: from observations to findings. Blocks are the replicates throughout."""

from inferometer.analysis import Analysis, Ledger, judge
from inferometer.experiments import Experiment
from inferometer.profilers import entries, validity
from inferometer.profilers.summary import Profile, profiles

SERIAL, CONTINUOUS = "-serial", "-continuous"


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    verdicts, draw = experiment.step("verdicts"), experiment.step("draw")
    labels = {name: sut.label or name for name, sut in experiment.design.suts.items()}
    suts = profiles(ledger.observations, labels)
    for seen in suts.values():
        entries.rates(ledger, seen)
        entries.calls(ledger, seen)
        entries.time_by_class(ledger, seen)
        entries.amortizations(ledger, seen)
    for stack, (serial, continuous) in pairs(suts).items():
        _against_serial(ledger, stack, serial, continuous)
    traced = [seen for name, seen in suts.items() if name.endswith(SERIAL) and seen.traced]
    if traced:
        entries.artefact(ledger, traced[0])
    return Analysis(
        verdicts=judge(experiment.design.hypotheses, verdicts.tests(ledger, suts))
        if depth != "quick"
        else [],
        decisions=verdicts.decisions(ledger, pairs(suts)),
        figures=draw.figures(ledger, suts),
        validity=validity.rows(ledger),
        notes=validity.notes(suts),
    )


def pairs(suts: dict[str, Profile]) -> dict[str, tuple[Profile, Profile]]:
    """Stack -> its SUT with one sequence at a time, and that with continuous batching."""
    stacks = [name.removesuffix(SERIAL) for name in suts if name.endswith(SERIAL)]
    return {
        stack: (suts[f"{stack}{SERIAL}"], suts[f"{stack}{CONTINUOUS}"])
        for stack in stacks
        if f"{stack}{CONTINUOUS}" in suts
    }


def _against_serial(ledger: Ledger, stack: str, serial: Profile, continuous: Profile) -> None:
    """Calls, and time, per token with continuous batching over those without it, at each N."""
    both = {"sut": [continuous.sut, serial.sut]}
    calls = continuous.calls
    for n in sorted(set(serial.levels) & set(continuous.levels)):
        entries.ratio(
            ledger,
            f"{stack}.time_ratio.n{n}",
            f"{stack}: time per token at N = {n}, continuous batching over one at a time",
            continuous.at(n, "s_per_token"),
            serial.at(n, "s_per_token"),
            serial.where(n) | both,
        )
        for phase, tag in (("all", ""), ("decode", "_decode")):
            entries.ratio(
                ledger,
                f"{stack}.calls_ratio{tag}.n{n}",
                f"{stack}: {calls} per token at N = {n}, continuous batching over one at a time, "
                f"{'whole run' if phase == 'all' else phase}",
                continuous.trace_at(n, calls, phase),
                serial.trace_at(n, calls, phase),
                serial.where(n, kind="trace", phase_of_work=phase) | both,
            )
