"""`inferometer decide TOPIC`: walk a report's decision for one case, from committed findings.

Each topic is an entry of `TOPICS`: its options, the experiment whose findings decide, and a
function that answers. Nothing is measured, and no machine is needed but the one named.
"""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inferometer import routing
from inferometer.errors import UserError
from inferometer.findings import Finding, FindingsFile, to_json
from inferometer.reporting import decisions
from inferometer.stages import committed, decide_quantization

SECONDS = {"ms": 1e-3, "s": 1.0, "": 1.0}


@dataclass(frozen=True)
class Topic:
    """What can be decided: by which experiment, with which options, and how.

    `example` is a command; `text` writes an answer for people.
    """

    experiment: str
    summary: str
    example: str
    options: Callable[[argparse.ArgumentParser], None]
    answer: Callable[[argparse.Namespace, FindingsFile], dict[str, Any]]
    text: Callable[[dict[str, Any]], str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb: a topic, and the options that it has."""
    topics = parser.add_subparsers(metavar="TOPIC", dest="topic", required=True)
    for name, topic in TOPICS.items():
        sub = topics.add_parser(
            name,
            help=topic.summary,
            description=topic.summary,
            epilog=f"for example:\n  {topic.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        topic.options(sub)
        committed.add_arguments(sub)


def run_command(args: argparse.Namespace) -> int:
    """Answer from the findings at hand, and say what each branch rests on."""
    topic = TOPICS[args.topic]
    found = topic.answer(args, committed.findings(args, topic.experiment))
    print(to_json(found) if args.json else topic.text(found))
    return 0


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
        "steps": [committed.step(file, by_id, step) for step in walk.steps],
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
        "requests_per_s": committed.number(file, by_id[routing.rate_name(sut, workload, n)]),
        "latency_p95_s": committed.number(file, tail) if tail else None,
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


def _text(found: dict[str, Any]) -> str:
    """For people: the advice, the way to it, what it rests on."""
    limit = found["slo_p95_s"]
    case = f"{found['workload']}, {found['agents']} agents"
    case += f", p95 within {limit:g} s" if limit is not None else ""
    lines = [f"{case}, on {found['machine']} ({found['experiment']}, depth {found['depth']})", ""]
    lines += committed.step_lines(found["steps"])
    lines += ["", f"=> {found['advice']}"]
    lines += [f"   ({note})" for note in found["notes"]]
    lines += ["", "  stack: requests/s; p95 of latency in s"]
    for row in found["stacks"]:
        tail = committed.shown(row["latency_p95_s"]) if row["latency_p95_s"] else "not known"
        slo = f"; limit {row['slo']}" if row["slo"] else ""
        lines.append(f"  {row['sut']}: {committed.shown(row['requests_per_s'])}; {tail}{slo}")
    return "\n".join([*lines, "", f"  see {found['report']}"])


TOPICS = {
    "stack": Topic(
        experiment="tr130",
        summary="which serving stack completes most requests of a kind of work",
        example="inferometer decide stack --workload rag --agents 4 --slo-p95 5s",
        options=_stack_options,
        answer=_stack,
        text=_text,
    ),
    "quantization": Topic(
        experiment="tr125",
        summary="which quantization level keeps the quality that a risk asks for, and fits",
        example="inferometer decide quantization --risk high --vram 12 --model smollm2-135m",
        options=decide_quantization.add_options,
        answer=decide_quantization.answer,
        text=decide_quantization.text,
    ),
}
