"""TR125: each level against its baseline. Units: items; texts for tokens; blocks for speed."""

from inferometer import quantization, validity
from inferometer.analysis import Analysis, Ledger, judge
from inferometer.experiments import Experiment
from inferometer.quality import entries


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    names = ("levels", "quality", "against", "tokens", "size", "verdicts", "draw")
    levels, quality, against, tokens, size, verdicts, draw = map(experiment.step, names)
    found = levels.of(ledger.observations, experiment.design)
    for model in found.values():
        size.enter(ledger, model)
        quality.enter(ledger, model)
        against.enter(ledger, model, quality)
        tokens.enter(ledger, model)
        levels.enter_missing(ledger, model, experiment.design)
    return Analysis(
        verdicts=judge(experiment.design.hypotheses, verdicts.tests(ledger, found))
        if depth != "quick"
        else [],
        decisions=[quantization.decision(name, ledger.findings) for name in found],
        figures=draw.figures(ledger, found),
        validity=validity.of_sessions(ledger, {"kind": "request"}),
        notes=[*levels.notes(ledger, found, experiment.design), *entries.unavailable(ledger)],
    )
