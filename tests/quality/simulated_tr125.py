"""Findings as TR125 would enter them, simulated: every number here is made up for the tests."""

from pathlib import Path

from inferometer import quantization as q
from inferometer.findings import Finding, FindingsFile, Interval, Rows

MACHINE = "testbox-2c-8g-abc123"
NOTHING = Rows(where={}, count=0, digest="0" * 64)


def finding(name, value, ends=None, unit="", reason=None):
    return Finding(
        id=name,
        title=f"simulated {name}",
        value=value,
        unit=unit,
        interval=Interval(low=ends[0], high=ends[1]) if ends else None,
        no_interval=None if ends else "simulated without one",
        n=100,
        n_of="items",
        estimator="none: simulated",
        rows=NOTHING,
        reason=reason or ("simulated as not measured" if value is None else None),
    )


LOSSES = {  # level -> interval of the difference on mmlu and on arc_challenge, in pp
    "q8_0": ((-1.0, 1.0), (-1.5, 0.5)),
    "q6_k": ((-1.0, 1.0), (-1.5, 0.5)),
    "q4_k_m": ((-4.5, -3.2), (-4.0, -1.0)),
    "q3_k_s": ((-12.0, -6.0), (-4.0, -1.0)),
    "q2_k": ((-30.0, -20.0), (-30.0, -22.0)),
}
COMPOSITE = {"q8_0": (0.58, 0.62), "q4_k_m": (0.52, 0.57), "q2_k": (0.2, 0.3)}


def tr125(model="tiny", params=134_515_008, losses=None, composite=None):
    """id -> finding, for one model; `losses` and `composite` replace those of some levels."""
    found = [finding(q.params_name(model), params)]
    for level, (mmlu, arc) in {**LOSSES, **(losses or {})}.items():
        worst = (min(mmlu[0], arc[0]), min(mmlu[1], arc[1]))
        for name, ends in (("mmlu", mmlu), ("arc_challenge", arc), (q.WORST, worst)):
            middle = (ends[0] + ends[1]) / 2
            found.append(finding(q.difference_name(model, level, name), middle, ends, "pp"))
        found.append(finding(q.bits_name(model, level), 8.5))
        found.append(finding(q.bytes_name(model, level), 145_000_000, unit="B"))
    for level, ends in {**COMPOSITE, **(composite or {})}.items():
        name = q.score_name(q.level_name(model, level), "composite")
        found.append(finding(name, sum(ends) / 2 if ends else None, ends))
    for metric, ends in {"mmlu": (0.41, 0.5), "arc_challenge": (0.30, 0.36)}.items():
        name = q.score_name(q.level_name(model, "q4_k_m"), metric)
        found.append(finding(name, sum(ends) / 2, ends))
    return {one.id: one for one in found}


def commit(root: Path, findings, depth="standard", experiment="tr125"):
    """Write the findings where the verbs look for them."""
    trees = [q.decision(model, findings) for model in q.models(findings)]
    file = FindingsFile(
        experiment=experiment,
        machine=MACHINE,
        depth=depth,
        design_digest="0" * 64,
        observations_sha256="0" * 64,
        sessions=[],
        findings=list(findings.values()),
        decisions=trees,
    )
    suffix = "" if depth == "standard" else f"-{depth}"
    folder = root / "results" / MACHINE / f"{experiment}{suffix}"
    folder.mkdir(parents=True)
    file.save(folder / "findings.json")
    return file
