"""Run all cells, seeded, in parallel over cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import numpy as np

from inferometer.stats.checking import breaks, errors, laws, means
from inferometer.stats.checking.cells import Cell, Outcome, Tally

CHUNK = 50


def all_cells() -> list[Cell]:
    """Return the cells of every simulated criterion, in the order of the specification."""
    return [*means.cells(), *errors.cells(), *laws.cells(), *breaks.cells()]


def run_cells(
    cells: list[Cell], runs: int, seed: int, jobs: int, advance: Callable[[int], None]
) -> list[Outcome]:
    """Simulate each cell `runs` times its own `times`, seeded.

    The outcome does not depend on `jobs`. `advance` is told the number of simulations of each
    finished chunk.
    """
    totals: list[Tally] = [{} for _ in cells]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_quiet) as pool:
        waiting: dict[Future[Tally], tuple[int, int]] = {}
        for index, cell in enumerate(cells):
            for number, size in enumerate(_chunks(runs * cell.times)):
                waiting[pool.submit(_run_chunk, index, size, number, seed)] = index, size
        for done in as_completed(waiting):
            index, size = waiting[done]
            for key, hits in done.result().items():
                totals[index][key] = totals[index].get(key, 0) + hits
            advance(size)
    return [
        Outcome(cell.criterion, cell.setting, *key, hits, runs * cell.times, cell.judged.get(key))
        for cell, tally in zip(cells, totals, strict=True)
        for key, hits in tally.items()
    ]


def _chunks(runs: int) -> list[int]:
    return [min(CHUNK, runs - begin) for begin in range(0, runs, CHUNK)]


def _quiet() -> None:
    """Keep workers to one thread each: the parallel unit is the chunk."""
    os.environ["OMP_NUM_THREADS"] = "1"


def _run_chunk(index: int, runs: int, number: int, seed: int) -> Tally:
    cell = all_cells()[index]
    rng = np.random.default_rng([seed, index, number])
    return cell.simulate(cell.parameters, runs, rng)
