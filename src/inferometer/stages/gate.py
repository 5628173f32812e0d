"""`inferometer gate EXPERIMENT`: check an application's quality gate against findings.

Exit status: 0 all pass, 1 one fails, 2 wrong use or no findings, 3 undecided.
"""

import argparse
import sys
from typing import Any

from inferometer.errors import UserError
from inferometer.findings import FindingsFile, full_id, to_json
from inferometer.quality import gates, tiers
from inferometer.quality.gates import Judged
from inferometer.quality.tiers import Outcome
from inferometer.stages import committed

STATUS: dict[Outcome, int] = {"pass": 0, "fail": 1, "undecided": 3}
WRONG_USE = 2
QUICK = "quick depth is exploratory: it decides nothing"
EPILOG = """\
for example:
  inferometer gate tr125 --application chatbot --sut smollm2-135m.q4_k_m
  inferometer gate tr125 --application qa --json && deploy

A metric passes only if the whole interval of its finding is within the bound.
Exit status: 0 all pass; 1 one fails; 2 wrong use, or no findings; 3 undecided.
Applications and bounds, each with its source, are in config/gates.yaml.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("experiment", metavar="EXPERIMENT", help="whose findings, such as tr125")
    parser.add_argument("--application", required=True, help="a name in config/gates.yaml")
    parser.add_argument(
        "--sut", action="append", metavar="SUT", help="only this one; repeat (default: all)"
    )
    committed.add_arguments(parser)


def run_command(args: argparse.Namespace) -> int:
    """Judge and print; a user's mistake is 2 here, since 1 means that the gate fails."""
    try:
        return _run(args)
    except UserError as error:
        print(f"inferometer: {error}", file=sys.stderr)
        return WRONG_USE


def _run(args: argparse.Namespace) -> int:
    application = gates.load(args.root / gates.GATES_FILE).application(args.application)
    file = committed.findings(args, args.experiment)
    by_id = {finding.id: finding for finding in file.findings}
    judged = [one for sut in _suts(args, file) for one in gates.judge(application, by_id, sut)]
    quick = file.depth == "quick"
    outcome = tiers.overall([one.outcome for one in judged]) if not quick else "undecided"
    found = {
        **{"application": args.application, "title": application.title},
        **{"machine": file.machine, "experiment": file.experiment, "depth": file.depth},
        "outcome": outcome,
        "notes": [QUICK] if quick else [],
        "metrics": [_row(file, one, quick) for one in judged],
    }
    print(to_json(found) if args.json else _text(found))
    return STATUS[outcome]


def _suts(args: argparse.Namespace, file: FindingsFile) -> list[str]:
    known = gates.suts({finding.id: finding for finding in file.findings})
    where = f"{file.experiment} on {file.machine} ({file.depth})"
    if not known:
        raise UserError(f"{where} has no findings <sut>.<metric>.score: nothing to judge")
    strange = [sut for sut in args.sut or [] if sut not in known]
    if strange:
        raise UserError(f"--sut {strange[0]}: {where} has no score of it; has: {', '.join(known)}")
    return list(dict.fromkeys(args.sut or known))


def _row(file: FindingsFile, one: Judged, quick: bool) -> dict[str, Any]:
    bound = one.bound
    return {
        **{"sut": one.sut, "metric": one.metric, "bound": str(bound), "source": bound.source},
        "outcome": "undecided" if quick else one.outcome,
        "reason": QUICK if quick and one.found else one.reason,
        "finding": committed.number(file, one.found)
        if one.found
        else {"finding": full_id(file.experiment, one.finding), "value": None},
    }


def _text(found: dict[str, Any]) -> str:
    """For people: one line for each metric, then the outcome."""
    where = f"{found['machine']} ({found['experiment']}, depth {found['depth']})"
    lines = [f"{found['title']} ({found['application']}), on {where}", ""]
    for row in found["metrics"]:
        number = row["finding"]
        rests = committed.shown(number) if number["value"] is not None else number["finding"]
        why = f"; {row['reason']}" if row["reason"] else ""
        lines.append(f"  {row['sut']} {row['metric']} {row['bound']}: {row['outcome']}{why}")
        lines.append(f"      {rests}; bound: {row['source']}")
    lines += ["", f"=> {found['outcome']}"]
    return "\n".join([*lines, *(f"   ({note})" for note in found["notes"])])
