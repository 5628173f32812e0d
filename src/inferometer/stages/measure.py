"""`inferometer measure`: one session, sealed under results/<machine>/."""

import argparse
from pathlib import Path

from inferometer import machine, session
from inferometer.errors import UserError
from inferometer.stages import repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("experiment", help="such as tr129")
    parser.add_argument("--sut", required=True, help="a SUT of its design")
    parser.add_argument("--block", required=True, type=int, help="number of the block, from 0")
    parser.add_argument("--depth", default=None, choices=["quick", "standard", "full"])
    parser.add_argument("--machine", default=None, help="refuse unless this machine has that id")
    parser.add_argument("--log", type=Path, help="append the outcome to this file")
    repository.add_arguments(parser)


def run_command(args: argparse.Namespace) -> int:
    """Measure and seal one session."""
    checkout = repository.chosen(args)
    experiment = checkout.experiment(args.experiment)
    depth = args.depth or checkout.config.depth
    blocks = experiment.design.plan(depth).blocks
    if args.sut not in experiment.design.suts:
        raise UserError(
            f"--sut {args.sut}: not in {experiment.folder}/design.yaml; "
            f"it has: {', '.join(experiment.design.suts)}"
        )
    if not 0 <= args.block < blocks:
        raise UserError(f"--block {args.block}: depth {depth} has blocks 0 to {blocks - 1}")
    if not experiment.design.cells(depth, args.sut, args.block):
        raise UserError(
            f"--sut {args.sut} --block {args.block}: the design measures nothing of it there; see "
            f"`only` and `once` in {experiment.folder}/design.yaml"
        )
    suts = checkout.suts(args.experiment)
    task = session.Assignment(
        root=args.root,
        experiment=experiment,
        catalog=checkout.catalog,
        machine=args.machine or machine.current_id(),
        depth=depth,
        sut=args.sut,
        block=args.block,
        suts=suts if args.sut in suts else [*suts, args.sut],
        data_dir=checkout.config.quality.data_dir,
    )
    try:
        outcome = session.measure(task)
    except UserError as error:
        _log(args.log, str(error))
        raise
    _log(args.log, outcome)
    return 0


def _log(path: Path | None, text: str) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text + "\n")
