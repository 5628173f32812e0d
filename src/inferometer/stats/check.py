"""``inferometer stats-check``: simulate what the intervals and tests promise, and report it."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from inferometer.stats.checking.cells import Outcome
from inferometer.stats.checking.engine import all_cells, run_cells

RUNS, QUICK_RUNS = 1000, 100
SEED = 20251
QUICK_SLACK = 3.5
"""Binomial errors by which bands widen in a quick check; a full check widens nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--runs", type=int, help=f"simulations per cell (default {RUNS})")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_RUNS} per cell, bands widened, no report"
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"default {SEED}")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="processes; default: cores"
    )
    parser.add_argument(
        "--out", type=Path, help="report to write (default reports/statistics.md; quick: none)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the simulations, print the verdict, write the report; 1 when a band is missed."""
    runs = args.runs or (QUICK_RUNS if args.quick else RUNS)
    begun = time.monotonic()
    outcomes = simulate(runs, args.seed, args.jobs or 1)
    elapsed_s = time.monotonic() - begun
    slack = QUICK_SLACK if args.quick else 0.0
    missed = [outcome for outcome in outcomes if outcome.met(slack) is False]
    _print_verdict(outcomes, missed, runs, elapsed_s, slack)
    out = args.out or (None if args.quick else Path("reports/statistics.md"))
    if out is not None:
        from inferometer.stats.checking.report import write_report

        write_report(out, outcomes, runs, args.seed, elapsed_s)
        print(f"wrote {out}")
    return 1 if missed else 0


def simulate(runs: int, seed: int, jobs: int) -> list[Outcome]:
    """Run every cell with a progress bar that shows the time left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    cells = all_cells()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("simulating", total=runs * sum(cell.times for cell in cells))
        return run_cells(cells, runs, seed, jobs, lambda n: progress.advance(task, n))


def _print_verdict(
    outcomes: list[Outcome], missed: list[Outcome], runs: int, elapsed_s: float, slack: float
) -> None:
    from rich.console import Console
    from rich.table import Table

    judged = [outcome for outcome in outcomes if outcome.band is not None]
    table = Table(title=f"at least {runs} simulations per cell, {elapsed_s:.0f} s")
    for title in ("criterion", "judged", "met", "lowest", "highest"):
        table.add_column(title)
    for criterion in dict.fromkeys(outcome.criterion for outcome in judged):
        rows = [outcome for outcome in judged if outcome.criterion == criterion]
        shares = [outcome.share for outcome in rows]
        met = sum(bool(outcome.met(slack)) for outcome in rows)
        cells = (criterion, str(len(rows)), str(met), f"{min(shares):.3f}", f"{max(shares):.3f}")
        table.add_row(*cells)
    console = Console()
    console.print(table)
    for outcome in missed:
        console.print(
            f"missed: {outcome.quantity}, {outcome.method}, {outcome.setting}: "
            f"{outcome.share:.3f} +- {outcome.error:.3f}, band {outcome.band}",
            markup=False,
        )
