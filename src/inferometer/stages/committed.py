"""What the verbs that read committed findings share: whose findings, and how a number is shown."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inferometer import machine
from inferometer.errors import UserError
from inferometer.experiments import parse_results_name, results_name
from inferometer.findings import Finding, FindingsFile, full_id
from inferometer.reporting import decisions
from inferometer.stages import repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that choose findings and the form of the answer."""
    parser.add_argument(
        "--machine", help="whose findings decide (default: that of config.yaml, or this one)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    repository.add_arguments(parser)


def findings(args: argparse.Namespace, experiment: str) -> FindingsFile:
    """The findings of the chosen machine; `UserError` says which report would make them."""
    config = repository.chosen(args).config
    name = args.machine or config.machine
    owner = machine.current_id() if name == "auto" else name
    path = args.root / "results" / owner / results_name(experiment, config.depth) / "findings.json"
    if path.is_file():
        return FindingsFile.load(path)
    known = sorted(
        f"{found.parents[1].name} ({parse_results_name(found.parent.name)[1]})"
        for found in Path(args.root).glob(f"results/*/{experiment}*/findings.json")
    )
    depth = "" if config.depth == "standard" else f" --config depth={config.depth}"
    raise UserError(
        f"{path}: missing, so nothing is known of machine {owner} at {config.depth} depth. Make "
        f"it there with `snakemake reports/{experiment}.md{depth}`, or name a machine that has "
        f"findings with --machine: {', '.join(known) or 'there is none'}"
    )


def step(file: FindingsFile, by_id: Mapping[str, Finding], one: decisions.Step) -> dict[str, Any]:
    """A question, its answer, and the finding behind it."""
    found = by_id.get(one.finding or "")
    rests = number(file, found) if found else None
    return {"question": one.question, "answer": one.answer, "finding": rests}


def step_lines(steps: list[dict[str, Any]]) -> list[str]:
    """The way through a decision, for people."""
    lines = []
    for one in steps:
        words = {True: "yes", False: "no", None: "undecided"}[one["answer"]]
        lines.append(f"  {one['question']} {words}")
        if rests := one["finding"]:
            lines.append(f"      {shown(rests)}" + (f"; {rests['notes']}" * bool(rests["notes"])))
    return lines


def number(file: FindingsFile, finding: Finding) -> dict[str, Any]:
    """A finding under its full name, with its interval."""
    ends = finding.interval
    return {
        "finding": full_id(file.experiment, finding.id),
        "value": finding.value,
        "low": ends.low if ends else None,
        "high": ends.high if ends else None,
        "unit": finding.unit,
        "notes": finding.notes,
    }


def shown(number: dict[str, Any]) -> str:
    """`name = value [low, high]`; an end that the data leave open says so."""
    if number["value"] is None:
        return f"{number['finding']} is not defined"
    ends = [number["low"], number["high"]]
    if ends == [None, None]:
        return f"{number['finding']} = {number['value']:.3g} (no interval)"
    written = ", ".join("open" if end is None else f"{end:.3g}" for end in ends)
    return f"{number['finding']} = {number['value']:.3g} [{written}]"
