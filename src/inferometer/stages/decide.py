"""`inferometer decide TOPIC`: walk a report's decision for one case, from committed findings.

Each topic is an entry of `TOPICS`: its options, the experiment whose findings decide, and a
function that answers. Nothing is measured, and no machine is needed but the one named.
"""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferometer import machine, routing
from inferometer.config import Config
from inferometer.errors import UserError
from inferometer.experiments import parse_results_name, results_name
from inferometer.findings import Finding, FindingsFile, full_id, to_json
from inferometer.reporting import decisions
from inferometer.stages import repository

SECONDS = {"ms": 1e-3, "s": 1.0, "": 1.0}


@dataclass(frozen=True)
class Topic:
    """What can be decided: by which experiment, with which options, and how."""

    experiment: str
    summary: str
    options: Callable[[argparse.ArgumentParser], None]
    answer: Callable[[argparse.Namespace, FindingsFile], dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb: a topic, and the options that it has."""
    topics = parser.add_subparsers(metavar="TOPIC", dest="topic", required=True)
    for name, topic in TOPICS.items():
        sub = topics.add_parser(name, help=topic.summary, description=topic.summary)
        topic.options(sub)
        sub.add_argument(
            "--machine", help="whose findings decide (default: that of config.yaml, or this one)"
        )
        sub.add_argument("--json", action="store_true", help="print one JSON object")
        repository.add_arguments(sub)


def run_command(args: argparse.Namespace) -> int:
    """Answer from the findings at hand, and say what each branch rests on."""
    topic = TOPICS[args.topic]
    file = _findings(args, topic.experiment)
    found = topic.answer(args, file)
    print(to_json(found) if args.json else _text(found))
    return 0


def _findings(args: argparse.Namespace, experiment: str) -> FindingsFile:
    """The findings of the chosen machine; `UserError` says which report would make them."""
    chosen = repository.chosen(args)
    config: Config = chosen.config
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


def _stack_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workload", required=True, help="kind of work, such as rag")
    parser.add_argument("--agents", type=int, required=True, help="how many send at once")
    parser.add_argument(
        "--slo-p95", type=_seconds, metavar="TIME", help="limit to p95 of the latency: 5s, 300ms"
    )


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|)", text.strip())
    if match is None or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time above 0; write 5s or 300ms")
    return float(match[1]) * SECONDS[match[2]]


def _stack(args: argparse.Namespace, file: FindingsFile) -> dict[str, Any]:
    """The stack for a kind of work at some N, with those that keep the limit to the latency."""
    by_id = {finding.id: finding for finding in file.findings}
    cells = routing.cells(by_id)
    levels = _levels(args, file, cells)
    n = max(level for level in levels if level <= args.agents)
    suts = cells[args.workload, n]
    walk = _walk(args, file)
    stacks = [_stack_row(file, by_id, sut, args.workload, n, args.slo_p95) for sut in suts]
    kept = [row["sut"] for row in stacks if row["slo"] != "missed"]
    best, advice = _advice(file, by_id, args, n, kept)
    return {
        **{"topic": "stack", "machine": file.machine, "experiment": file.experiment},
        **{"depth": file.depth, "workload": args.workload, "agents": args.agents},
        **{"measured_agents": n, "slo_p95_s": args.slo_p95, "best": best, "advice": advice},
        "notes": _notes(args, file, by_id, levels, n, kept, stacks),
        "steps": [_step(file, by_id, step) for step in walk.steps],
        "stacks": stacks,
        "report": f"reports/{file.experiment}.md",
    }


def _levels(args: argparse.Namespace, file: FindingsFile, cells: dict) -> list[int]:
    """The N that were measured for the kind of work; `UserError` lists what there is."""
    known = list(dict.fromkeys(workload for workload, _ in cells))
    if args.workload not in known:
        raise UserError(
            f"--workload {args.workload}: {file.experiment} on {file.machine} ({file.depth}) has "
            f"no findings of it; it has: {', '.join(known) or 'none'}"
        )
    levels = sorted(n for workload, n in cells if workload == args.workload)
    if args.agents < levels[0]:
        raise UserError(f"--agents {args.agents}: the fewest that were measured are {levels[0]}")
    return levels


def _walk(args: argparse.Namespace, file: FindingsFile) -> decisions.Walk:
    wanted = f"stack-{args.workload}"
    decision = next((one for one in file.decisions if one.id == wanted), None)
    if decision is None:
        raise UserError(
            f"findings of {file.experiment} on {file.machine}: no decision {wanted}; run "
            f"`snakemake reports/{file.experiment}.md` again"
        )
    if file.depth == "quick":
        decision = decisions.undecided(decision)
    return decisions.walk(decision, {"agents": args.agents})


def _stack_row(
    file: FindingsFile,
    by_id: dict[str, Finding],
    sut: str,
    workload: str,
    n: int,
    limit_s: float | None,
) -> dict[str, Any]:
    tail = by_id.get(routing.p95_name(sut, workload, n))
    return {
        "sut": sut,
        "requests_per_s": _number(file, by_id[routing.rate_name(sut, workload, n)]),
        "latency_p95_s": _number(file, tail) if tail else None,
        "slo": None if limit_s is None else _kept(tail, limit_s),
    }


def _kept(tail: Finding | None, limit_s: float) -> str:
    """Whether the interval of p95 lies within the limit, beyond it, or across."""
    ends = tail.interval if tail else None
    if ends is None or ends.low is None or ends.high is None:
        return "undecided"
    return "met" if ends.high <= limit_s else "missed" if ends.low > limit_s else "undecided"


def _advice(
    file: FindingsFile, by_id: dict[str, Finding], args: argparse.Namespace, n: int, kept: list[str]
) -> tuple[str | None, str]:
    """The best of the stacks that keep the limit, or all between which it is open."""
    if not kept:
        return None, f"None: no measured stack keeps p95 within {args.slo_p95:g} s at N = {n}."
    seen = routing.standing(by_id, kept, args.workload, n)
    if file.depth != "quick" and (seen.best or len(kept) == 1):
        return seen.leader, f"Use {seen.leader}."
    either = kept if file.depth == "quick" else [seen.leader, *seen.alike]
    return None, f"Undecided between {', '.join(either)}."


def _notes(
    args: argparse.Namespace,
    file: FindingsFile,
    by_id: dict[str, Finding],
    levels: list[int],
    n: int,
    kept: list[str],
    stacks: list[dict[str, Any]],
) -> list[str]:
    """What the reader must know about the answer."""
    notes = []
    if file.depth == "quick":
        notes.append("quick depth is exploratory: it decides nothing")
    if args.agents > levels[-1]:
        notes.append(f"beyond what was measured: the answer is that of N = {n}")
    elif args.agents != n:
        after = min(level for level in levels if level > args.agents)
        other = by_id[routing.best_name(args.workload, after)].value
        notes.append(
            f"N = {args.agents} was not measured: the answer is that of N = {n}; "
            f"at N = {after} it is {other}"
        )
    open_ = [row["sut"] for row in stacks if row["slo"] == "undecided"]
    if open_:
        notes.append(f"the interval of p95 crosses the limit, or there is none: {', '.join(open_)}")
    if len(kept) == 1 and len(stacks) > 1:
        notes.append(f"{kept[0]} is the only one that does not miss the limit")
    if len(stacks) == 1:
        notes.append(f"only {stacks[0]['sut']} was measured")
    return notes


def _step(file: FindingsFile, by_id: dict[str, Finding], step: decisions.Step) -> dict[str, Any]:
    found = by_id.get(step.finding or "")
    rests = _number(file, found) if found else None
    return {"question": step.question, "answer": step.answer, "finding": rests}


def _number(file: FindingsFile, finding: Finding) -> dict[str, Any]:
    ends = finding.interval
    return {
        "finding": full_id(file.experiment, finding.id),
        "value": finding.value,
        "low": ends.low if ends else None,
        "high": ends.high if ends else None,
        "unit": finding.unit,
        "notes": finding.notes,
    }


def _text(found: dict[str, Any]) -> str:
    """For people: the advice, the way to it, what it rests on."""
    limit = found["slo_p95_s"]
    case = f"{found['workload']}, {found['agents']} agents"
    case += f", p95 within {limit:g} s" if limit is not None else ""
    lines = [f"{case}, on {found['machine']} ({found['experiment']}, depth {found['depth']})", ""]
    for step in found["steps"]:
        words = {True: "yes", False: "no", None: "undecided"}[step["answer"]]
        lines.append(f"  {step['question']} {words}")
        if rests := step["finding"]:
            lines.append(f"      {_shown(rests)}" + (f"; {rests['notes']}" * bool(rests["notes"])))
    lines += ["", f"=> {found['advice']}"]
    lines += [f"   ({note})" for note in found["notes"]]
    lines += ["", "  stack: requests/s; p95 of latency in s"]
    for row in found["stacks"]:
        tail = _shown(row["latency_p95_s"]) if row["latency_p95_s"] else "not known"
        slo = f"; limit {row['slo']}" if row["slo"] else ""
        lines.append(f"  {row['sut']}: {_shown(row['requests_per_s'])}; {tail}{slo}")
    return "\n".join([*lines, "", f"  see {found['report']}"])


def _shown(number: dict[str, Any]) -> str:
    if number["value"] is None:
        return f"{number['finding']} is not defined"
    ends = [number["low"], number["high"]]
    written = ", ".join("open" if end is None else f"{end:.3g}" for end in ends)
    return f"{number['finding']} = {number['value']:.3g} [{written}]"


TOPICS = {
    "stack": Topic(
        experiment="tr130",
        summary="which serving stack completes most requests of a kind of work",
        options=_stack_options,
        answer=_stack,
    ),
}
