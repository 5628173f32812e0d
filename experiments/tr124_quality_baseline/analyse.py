"""TR124: from answers and log-probabilities to findings. Items are the units, blocks for speed."""

from inferometer import validity
from inferometer.analysis import Analysis, Ledger, judge
from inferometer.experiments import Experiment


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    names = ("table", "scored", "runtimes", "sampling", "cost", "verdicts", "draw", "alike")
    table, scored, runtimes, sampling, cost, verdicts, draw, alike = map(experiment.step, names)
    design = experiment.design
    margin = design.hypotheses["equal_composite"].margin
    points = design.hypotheses["equal_mmlu"].margin
    suts = table.suts(ledger.observations, design)
    scored.enter(ledger, table, suts)
    compared = runtimes.enter(ledger, table, suts, margin, points)
    if depth != "quick":
        alike.enter(ledger, compared)
    sampling.enter(ledger, table, suts, margin)
    costs = cost.enter(ledger, experiment, suts)
    return Analysis(
        verdicts=judge(design.hypotheses, verdicts.tests(ledger, compared))
        if depth != "quick"
        else [],
        figures=draw.figures(ledger, suts, costs),
        validity=validity.of_sessions(ledger, {"kind": "request"}),
        notes=[*scored.notes(ledger), *costs.notes],
    )
