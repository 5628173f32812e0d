"""Coverage of the mean and of the ratio when requests share blocks, drift and stall."""

from __future__ import annotations

from itertools import product
from math import exp
from typing import Any

import numpy as np
from scipy import stats
from scipy.signal import lfilter

from inferometer.stats import compare, intervals
from inferometer.stats.checking.cells import Band, Cell, Tally, add, inside
from inferometer.stats.inputs import Floats

CRITERION = "5.1 coverage of a mean and of a ratio"
BLOCKS, REQUESTS = 7, 100
SIGMA = 0.3
STALL_SHARE, STALL_SHAPE, STALL_LEAST = 0.01, 2.5, 1.0
TRUE_RATIO = 1.1
RESAMPLES = 999
MEAN_T, MEAN_BOOT = "t over block means", "bootstrap-t over blocks"
RATIO_T = "Welch on log block means"


def cells() -> list[Cell]:
    """Return the cells of criterion 5.1."""
    band = Band(0.92, 0.975)
    judged = {("mean", MEAN_T): band, ("mean", MEAN_BOOT): band, ("ratio", RATIO_T): band}
    return [
        Cell(
            CRITERION,
            f"ICC {icc:g}, within-block r {r:g}, {'stalls' if stalls else 'no stalls'}",
            simulate,
            judged,
            {"icc": icc, "r": r, "stalls": stalls},
        )
        for icc, r, stalls in product((0.0, 0.05, 0.3), (0.0, 0.6), (False, True))
    ]


def simulate(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count how often each interval covers the true mean and the true ratio."""
    tally: Tally = {}
    truth = true_mean(parameters["stalls"])
    for _ in range(runs):
        first = TRUE_RATIO * latencies(rng, **parameters)
        second = latencies(rng, **parameters)
        _count_mean(tally, second, truth, rng)
        _count_ratio(tally, first, second, rng)
    return tally


def latencies(rng: np.random.Generator, icc: float, r: float, stalls: bool) -> Floats:
    """Return blocks x requests of lognormal latencies (median 1), with rare Pareto stalls."""
    between = rng.normal(0, SIGMA * icc**0.5, (BLOCKS, 1))
    noise = rng.normal(size=(BLOCKS, REQUESTS))
    noise[:, 1:] *= (1 - r * r) ** 0.5
    within = lfilter([1.0], [1.0, -r], noise, axis=1) * SIGMA * (1 - icc) ** 0.5
    values = np.exp(between + within)
    if stalls:
        stalled = rng.random(values.shape) < STALL_SHARE
        values += stalled * STALL_LEAST * (1 + rng.pareto(STALL_SHAPE, values.shape))
    return np.asarray(values)


def true_mean(stalls: bool) -> float:
    """Return the expectation of one latency."""
    extra = STALL_SHARE * STALL_LEAST * STALL_SHAPE / (STALL_SHAPE - 1)
    return exp(SIGMA**2 / 2) + (extra if stalls else 0.0)


def _count_mean(tally: Tally, data: Floats, truth: float, rng: np.random.Generator) -> None:
    means = data.mean(axis=1)
    seed = int(rng.integers(2**31))
    boot = intervals.bootstrap_t(means, resamples=RESAMPLES, seed=seed)
    bca = intervals.bca(means, resamples=RESAMPLES, seed=seed)
    resampled = means[rng.integers(0, BLOCKS, (RESAMPLES, BLOCKS))].mean(axis=1)
    add(tally, "mean", MEAN_T, inside(intervals.mean_of_blocks(means).ci, truth))
    add(tally, "mean", MEAN_BOOT, inside(boot.ci, truth))
    add(tally, "mean", "pooled t", inside(_pooled(data.ravel()), truth))
    add(tally, "mean", "percentile bootstrap, 7 blocks", inside(_percentiles(resampled), truth))
    add(tally, "mean", "BCa, 7 blocks", inside(bca.ci, truth))


def _count_ratio(tally: Tally, first: Floats, second: Floats, rng: np.random.Generator) -> None:
    a, b = first.mean(axis=1), second.mean(axis=1)
    drawn = rng.integers(0, BLOCKS, (2, RESAMPLES, BLOCKS))
    resampled = a[drawn[0]].mean(axis=1) / b[drawn[1]].mean(axis=1)
    pooled = compare.ratio(first.ravel(), second.ravel())
    add(tally, "ratio", RATIO_T, inside(compare.ratio(a, b).ci, TRUE_RATIO))
    add(tally, "ratio", "pooled Welch on log requests", inside(pooled.ci, TRUE_RATIO))
    percentile = inside(_percentiles(resampled), TRUE_RATIO)
    add(tally, "ratio", "percentile bootstrap, 7 blocks", percentile)


def _pooled(values: Floats) -> tuple[float, float]:
    half = stats.t.ppf(0.975, values.size - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def _percentiles(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
