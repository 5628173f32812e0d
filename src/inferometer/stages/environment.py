"""`inferometer environment STACK`: make `.envs/STACK` from `envs/STACK.txt`."""

import argparse
from pathlib import Path

from inferometer import environments
from inferometer.stages import repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("stack", help="name of a file in envs/, such as llamacpp")
    parser.add_argument(
        "--prefix", type=Path, help="record this environment, made by conda, instead of a new one"
    )
    repository.add_arguments(parser)


def run_command(args: argparse.Namespace) -> int:
    """Make the environment and say what is in it."""
    print(f"environment {args.stack}: installing {environments.lock_file(args.root, args.stack)}")
    made = environments.make(args.root, args.stack, prefix=args.prefix)
    print(f"environment {args.stack}: {len(made.freeze)} packages, Python {made.python_version}")
    return 0
