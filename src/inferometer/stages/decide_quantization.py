"""`inferometer decide quantization`: the level for a risk and a memory, from TR125's findings."""

import argparse
import math
from typing import Any

from inferometer import quantization
from inferometer.errors import UserError
from inferometer.findings import Decision, Finding, FindingsFile
from inferometer.quality import tiers
from inferometer.reporting import decisions
from inferometer.stages import committed

FACTS = {
    "difference_pp": lambda model, level: quantization.difference_name(
        model, level, quantization.WORST
    ),
    "bits_per_weight": quantization.bits_name,
    "file_bytes": quantization.bytes_name,
    "perplexity_ratio": quantization.perplexity_name,
    "kl": quantization.kl_name,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The reader's case."""
    parser.add_argument(
        "--risk",
        required=True,
        choices=list(quantization.RISKS),
        help="what a wrong answer costs: high is medicine, law, finance, safety",
    )
    parser.add_argument(
        "--vram", required=True, type=_gigabytes, metavar="GB", help="memory of the device"
    )
    parser.add_argument("--model", required=True, help="a model of the report")


def answer(args: argparse.Namespace, file: FindingsFile) -> dict[str, Any]:
    """The advice for the case, the way to it, and what is known of every level."""
    by_id = {finding.id: finding for finding in file.findings}
    tree = _tree(args.model, file)
    case = {"risk": quantization.RISKS[args.risk], "vram_gb": args.vram}
    walk = decisions.walk(tree, case)
    memory = quantization.memory_findings(by_id, args.model)
    steps = [
        decisions.Step(one.question, one.answer, one.finding or memory.get(one.question))
        for one in walk.steps
    ]
    one = walk.advice[0] if len(walk.advice) == 1 else None
    return {
        **{"topic": "quantization", "machine": file.machine, "experiment": file.experiment},
        **{"depth": file.depth, "model": args.model, "risk": args.risk, "vram_gb": args.vram},
        "best": one,
        "advice": one or f"Undecided between: {' '.join(walk.advice)}",
        "possible": walk.advice,
        "notes": _notes(file),
        "steps": [committed.step(file, by_id, step) for step in steps],
        "levels": _levels(file, by_id, args.model),
        "report": f"reports/{file.experiment}.md",
    }


def text(found: dict[str, Any]) -> str:
    """For people: the way, the advice, the levels."""
    case = f"{found['model']}, {found['risk']} risk, {found['vram_gb']:g} GB"
    lines = [f"{case}, on {found['machine']} ({found['experiment']}, depth {found['depth']})", ""]
    lines += committed.step_lines(found["steps"])
    lines += ["", f"=> {found['advice']}"]
    lines += [f"   ({note})" for note in found["notes"]]
    lines += ["", "  level: compatible?; tier; pp lost where most is lost"]
    for row in found["levels"]:
        worst = row["difference_pp"]
        rests = committed.shown(worst) if worst else "not known"
        lines.append(f"  {row['level']}: {row['compatible']}; {row['tier']}; {rests}")
    return "\n".join([*lines, "", f"  see {found['report']}"])


def _gigabytes(words: str) -> float:
    try:
        value = float(words)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{words!r} is no number of GB above 0; write 12")
    return value


def _tree(model: str, file: FindingsFile) -> Decision:
    """The tree that the report prints; at quick depth with every branch open."""
    start = quantization.decision_id("")
    known = {one.id.removeprefix(start): one for one in file.decisions if one.id.startswith(start)}
    if model not in known:
        raise UserError(
            f"--model {model}: {file.experiment} on {file.machine} ({file.depth}) has no decision "
            f"for it; it has: {', '.join(known) or 'none'}"
        )
    return decisions.undecided(known[model]) if file.depth == "quick" else known[model]


def _notes(file: FindingsFile) -> list[str]:
    level, source = quantization.NEVER
    notes = [f"{level.upper()} is in no branch: {source}"]
    if file.depth == "quick":
        notes.append("quick depth is exploratory: it decides nothing")
    return notes


def _levels(file: FindingsFile, by_id: dict[str, Finding], model: str) -> list[dict[str, Any]]:
    """Every level but the baseline: its cell of the matrix, its tier, its numbers."""
    quick = file.depth == "quick"
    rows = []
    for (owner, level), cell in quantization.compatibility(by_id).items():
        if owner != model:
            continue
        numbers = {fact: by_id.get(name(model, level)) for fact, name in FACTS.items()}
        tier = tiers.tier(quantization.ends(numbers["difference_pp"]))
        rows.append(
            {
                "level": level,
                "compatible": tiers.UNDECIDED if quick else cell.outcome,
                "by_benchmark": cell.by_benchmark,
                "tier": tiers.UNDECIDED if quick else tier.tier,
                "touches": list(tier.touches),
                **{k: committed.number(file, v) if v else None for k, v in numbers.items()},
            }
        )
    return rows
