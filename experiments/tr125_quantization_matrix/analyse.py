"""TR125: each level against its own baseline. Items are the units, texts for tokens, blocks for speed."""

from inferometer import quantization, validity
from inferometer.analysis import Analysis, Ledger, judge
from inferometer.experiments import Experiment


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    names = ("levels", "quality", "tokens", "size", "verdicts", "draw")
    levels, quality, tokens, size, verdicts, draw = map(experiment.step, names)
    found = levels.of(ledger.observations, experiment.design)
    for model in found.values():
        size.enter(ledger, model)
        quality.enter(ledger, model, levels)
        tokens.enter(ledger, model)
    # a level that was not made or measured leaves the tree without a finding, and so without a tree
    decided = [
        name
        for name in found
        if all(needed in ledger.findings for needed in quantization.required(name))
    ]
    return Analysis(
        verdicts=judge(experiment.design.hypotheses, verdicts.tests(ledger, found))
        if depth != "quick"
        else [],
        decisions=[quantization.decision(name, ledger.findings) for name in decided],
        figures=draw.figures(ledger, found),
        validity=validity.of_sessions(ledger, {"kind": "request"}),
        notes=[*levels.notes(ledger, found), *quality.notes(ledger)],
    )
