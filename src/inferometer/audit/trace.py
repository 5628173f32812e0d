"""`inferometer trace REPORT FINDING`: print the chain behind a number, checking its digests."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from inferometer.audit.chain import Chain, Session, follow
from inferometer.errors import UserError
from inferometer.reporting import numbers

RECORD_WIDTH = 160
"""Characters of a raw line that are printed; `--json` gives the whole line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("report", type=Path, help="a report, as reports/tr129.md")
    parser.add_argument("finding", help="a finding's name, as in the report's links")
    parser.add_argument(
        "--records", type=int, default=3, metavar="K", help="raw lines to print (default: 3)"
    )
    parser.add_argument("--json", action="store_true", help="print the chain as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the chain; 1 when something on the way is not as sealed."""
    if args.records < 0:
        raise UserError(f"--records: {args.records} is not allowed; use whole numbers from 0")
    chain = follow(args.report, args.finding, args.records)
    if args.json:
        print(json.dumps(chain.to_data(), ensure_ascii=False))
    else:
        _print(chain)
    return 1 if chain.problems else 0


def _print(chain: Chain) -> None:
    console = Console(highlight=False)

    def heading(words: str) -> None:
        console.print(words, style="bold", markup=False, soft_wrap=True)

    def line(label: str, words: object) -> None:
        console.print(f"  {label:<12}{words}", markup=False, soft_wrap=True)

    finding = chain.finding
    lines = ", ".join(map(str, chain.lines))
    heading(f"report    {chain.report}")
    line("lines", lines or "none: on the evidence page only")
    heading(f"finding   {finding.id}: {finding.title}")
    line("value", f"{_exact(chain)} {finding.unit}".rstrip())
    line("interval", numbers.interval(finding))
    line("n", f"{finding.n} {finding.n_of}")
    line("estimator", finding.estimator)
    line("stored in", chain.findings)
    heading(f"rows      {finding.rows.count} rows of observations.parquet")
    line("selected by", json.dumps(finding.rows.where, ensure_ascii=False))
    line("digest", finding.rows.digest)
    heading(f"records   {len(chain.records)} of {finding.rows.count}")
    for record in chain.records:
        console.print(f"  {record.file}:{record.line}", markup=False, soft_wrap=True)
        cut = record.text[:RECORD_WIDTH] + ("…" if len(record.text) > RECORD_WIDTH else "")
        console.print(f"    {cut}", markup=False, soft_wrap=True)
    for session in chain.sessions:
        _print_session(session, heading, line)
    heading("machine")
    for label, words in chain.machine.items():
        console.print(f"  {label}: {words}", markup=False, soft_wrap=True)
    _print_verdict(chain, console)


def _print_session(
    session: Session, heading: Callable[[str], None], line: Callable[[str, object], None]
) -> None:
    reference, facts = session.reference, session.facts
    state = "ALTERED" if session.problems else "as sealed"
    heading(f"session   {reference.id}: {session.rows} of these rows, {state}")
    line("raw sha256", reference.raw_sha256)
    line("manifest", f"{session.manifest} {reference.manifest_sha256}")
    if facts is None:
        return
    line("measured", f"{facts.started} to {facts.ended} on {facts.machine}")
    line("stack", facts.stack)
    line("environment", facts.environment)
    for name, sha256 in facts.artifacts.items():
        line("artifact", f"{name} {sha256}")
    line("commit", facts.commit)


def _print_verdict(chain: Chain, console: Console) -> None:
    if not chain.problems:
        console.print("every digest on the way fits", style="green")
        return
    console.print(f"problems: {len(chain.problems)}", style="bold red")
    for words in chain.problems:
        console.print(f"- {words}", markup=False, soft_wrap=True)


def _exact(chain: Chain) -> object:
    value = chain.finding.value
    return f"not defined: {chain.finding.reason}" if value is None else value
