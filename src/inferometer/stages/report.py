"""`inferometer report RESULTS`: render a report and its evidence page."""

import argparse
from pathlib import Path

from inferometer.experiments import parse_results_name
from inferometer.reporting.render import render
from inferometer.stages import repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("results", type=Path, help="folder such as results/<machine>/tr129")
    repository.add_arguments(parser)


def run_command(args: argparse.Namespace) -> int:
    """Render and name the files."""
    name, _ = parse_results_name(args.results.name)
    experiment = repository.chosen(args).experiment(name)
    written = render(experiment, args.results / "findings.json", args.root / "reports")
    for path in written:
        print(path)
    return 0
