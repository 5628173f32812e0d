"""`inferometer claims`: list, show, report, and begin a file for a document of one's own."""

import argparse
import json
import sys
from pathlib import Path
from typing import get_args

from inferometer.claims import adding, explain, listing, report, verdicts
from inferometer.claims.measured import Results
from inferometer.claims.registry import load
from inferometer.claims.schema import Kind, VerdictKind
from inferometer.claims.verdicts import Judged, Verdicts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; without an action the claims are listed."""
    parser.set_defaults(action="list", json=False)
    for name in listing.Filter.__dataclass_fields__:
        parser.set_defaults(**{name: None})
    _folders(parser, Path("claims"), Path("results"), None)
    _filters(parser)
    actions = parser.add_subparsers(dest="action", required=False)
    one = actions.add_parser("list", help="list the claims with their verdicts (the default)")
    _filters(one)
    one = actions.add_parser("show", help="one claim: arithmetic, constants, finding")
    one.add_argument("id", help="of the claim, such as s001-h5-jain")
    one.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object"
    )
    one = actions.add_parser("add", help="begin a registry file for a document of your own")
    one.add_argument("id", help="short id of the document, the stem of the new file")
    one.add_argument("--title", required=True, help="title of the document")
    one.add_argument("--date", default="undated", help="date of the document")
    one = actions.add_parser("report", help="write the report under a folder")
    one.add_argument("--reports", type=Path, default=Path("reports"), help="folder to write to")
    for action in actions.choices.values():
        _folders(action, argparse.SUPPRESS, argparse.SUPPRESS, argparse.SUPPRESS)


def _folders(
    parser: argparse.ArgumentParser, claims: object, results: object, machine: object
) -> None:
    parser.add_argument("--claims", type=Path, default=claims, help="folder of the registry")
    parser.add_argument("--results", type=Path, default=results, help="folder of the results")
    parser.add_argument("--machine", default=machine, help="judge runs of this machine only")


def _filters(parser: argparse.ArgumentParser) -> None:
    suppressed = argparse.SUPPRESS
    parser.add_argument("--source", default=suppressed, help="only this document, e.g. s001")
    parser.add_argument(
        "--kind", choices=get_args(Kind), default=suppressed, help="only claims of this kind"
    )
    parser.add_argument(
        "--verdict",
        choices=get_args(VerdictKind),
        default=suppressed,
        help="only with this verdict",
    )
    parser.add_argument("--experiment", default=suppressed, help="only this one, e.g. tr129")
    parser.add_argument(
        "--json", action="store_true", default=suppressed, help="print the claims as JSON"
    )


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; 1 when an entry is at fault, else 0."""
    if args.action == "add":
        path = adding.write_template(args.claims, args.id, args.title, args.date)
        print(f"wrote {path}; its example is judged by `inferometer claims --source {args.id}`")
        return 0
    results = Results(args.results, args.machine)
    judged = verdicts.judge_registry(load(args.claims), results)
    if args.action == "show":
        item = judged[args.id]
        text = _json(listing.as_data(item)) if args.json else explain.claim_text(item, judged)
        sys.stdout.write(text)
    elif args.action == "report":
        for path in report.write(judged, results, args.reports):
            print(path)
    else:
        _list(judged, args)
    for problem in judged.problems:
        print(problem, file=sys.stderr)
    return 1 if judged.problems else 0


def _list(judged: Verdicts, args: argparse.Namespace) -> None:
    wanted = listing.Filter(args.source, args.kind, args.verdict, args.experiment)
    items = listing.chosen(judged.judged, wanted)
    if args.json:
        sys.stdout.write(_json([listing.as_data(item) for item in items]))
        return
    width = max((len(item.claim.id) for item in items), default=0)
    for item in items:
        print(f"{item.claim.id:{width}}  {item.verdict:17}  {_factor(item):>9}  {_line(item)}")
    print(f"{len(items)} of {len(judged.judged)} claims")


def _factor(item: Judged) -> str:
    return f"x {item.factor:.3g}" if item.factor else ""


def _line(item: Judged) -> str:
    return item.claim.statement


def _json(data: object) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
