"""`inferometer benchmarks FOLDER`: bring the items of public benchmarks from their hub."""

import argparse
import json
from pathlib import Path

from inferometer.errors import UserError
from inferometer.manifest import write_atomically
from inferometer.quality.benchmarks import BENCHMARKS, benchmark_files, offline_items
from inferometer.quality.harness import hub_items
from inferometer.stages import repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("folder", type=Path, help="where the files go; made where it is missing")
    parser.add_argument(
        "--items",
        type=int,
        default=0,
        metavar="N",
        help="so many items of each benchmark, evenly spaced over its subjects (default: all)",
    )
    repository.add_arguments(parser)


def run_command(args: argparse.Namespace) -> int:
    """Write one file for each benchmark that the folder lacks, and say how to use it."""
    if args.items < 0:
        raise UserError(f"benchmarks: --items {args.items}: give a number of items, or 0 for all")
    folder = args.folder.expanduser()
    for name, asked in BENCHMARKS.items():
        if benchmark_files(name, folder):
            print(f"{name}: is there already")
        else:
            print(f"{name}: asking lm-eval's task {asked.hub_task} for its items", flush=True)
            lines, versions = hub_items(args.root, asked, count=args.items)
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            write_atomically(folder / f"{name}_{len(lines)}.jsonl", text)
            print(f"{name}: by " + ", ".join(f"{what} {which}" for what, which in versions.items()))
        found = offline_items(name, folder)
        print(f"{name}: {found.path}, {len(found.items)} items, digest {found.sha256}")
        for fault in found.faults:
            print(f"{name}: left out: {fault}")
    print(f"To ask them: snakemake reports/tr125.md --config quality='{{data_dir: {folder}}}'")
    return 0
