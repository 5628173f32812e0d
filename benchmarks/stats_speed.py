"""Time every statistics call on 10,000 values: ``python benchmarks/stats_speed.py``.

Calls that resample or profile may take 2 s, the others 50 ms. Times are the median of 5 warm runs
in this one process; the ratio is to `mean_of_blocks` of the same run, which travels between
machines better than milliseconds do. Exit status 1 when a limit is passed.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from inferometer.stats import (
    blocks,
    compare,
    equivalence,
    fairness,
    intervals,
    pareto,
    power,
    proportions,
    queueing,
    regimes,
    scaling,
    series,
    validation,
)

SIZE = 10_000
REPEATS = 5
PLAIN_LIMIT_S, HEAVY_LIMIT_S = 0.05, 2.0

Case = tuple[str, bool, Callable[[], Any]]


def cases() -> list[Case]:
    """Return name, whether it resamples or profiles, and the call."""
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(0, 0.3, SIZE), rng.lognormal(0, 0.3, SIZE)
    groups = list(a.reshape(10, -1))
    hits = rng.random(SIZE) < 0.7
    label = np.repeat(np.arange(100), SIZE // 100)
    agents = np.tile([1.0, 2, 3, 4, 6, 8, 12, 16, 24, 32], SIZE // 10)
    block = np.repeat(np.arange(SIZE // 10), 10)
    each = 20 / (1 + 0.3 * (agents - 1)) * a
    gaps = np.cumsum(rng.exponential(1, SIZE))
    points = rng.normal(size=(SIZE, 3))
    return [
        ("intervals.mean_of_blocks", False, lambda: intervals.mean_of_blocks(a)),
        ("compare.welch", False, lambda: compare.welch(a, b)),
        ("compare.paired", False, lambda: compare.paired(a, b)),
        ("compare.ratio", False, lambda: compare.ratio(a, b)),
        ("compare.anova", False, lambda: compare.anova(groups)),
        ("compare.effect_size", False, lambda: compare.effect_size(a, b)),
        ("compare.holm", False, lambda: compare.holm(a / a.max())),
        ("equivalence.tost", False, lambda: equivalence.tost(a, b, -1, 1)),
        ("equivalence.tost_paired", False, lambda: equivalence.tost_paired(a, b, -1, 1)),
        ("equivalence.tost_proportions", False, lambda: _rates(hits)),
        ("equivalence.power", False, lambda: equivalence.power(SIZE, 1, 0.05)),
        ("equivalence.supported_margin", False, lambda: equivalence.supported_margin(7, 0.02)),
        ("proportions.wilson", False, lambda: proportions.wilson(hits.sum(), SIZE)),
        ("proportions.mcnemar", False, lambda: proportions.mcnemar([[7000, 900], [800, 1300]])),
        ("proportions.clustered_mean", False, lambda: proportions.clustered_mean(hits, label)),
        ("power.minimum_detectable", False, lambda: power.minimum_detectable(7)),
        ("intervals.quantile", False, lambda: intervals.quantile(a, 0.99)),
        ("intervals.bootstrap_t", True, lambda: intervals.bootstrap_t(a)),
        ("intervals.bca", True, lambda: intervals.bca(a)),
        ("blocks.variance_components", False, lambda: blocks.variance_components(groups)),
        ("blocks.plan", False, lambda: blocks.plan(a.reshape(10, -1), [1, 10])),
        ("scaling.fit_amdahl", True, lambda: scaling.fit_amdahl(agents, each, block)),
        ("scaling.fit_usl, linear", True, lambda: scaling.fit_usl(agents, agents * each)),
        ("scaling.fit_usl, log", True, lambda: _usl_log(agents, each, block)),
        ("scaling.fit_power_law", False, lambda: scaling.fit_power_law(agents, each)),
        ("scaling.select", True, lambda: scaling.select(agents, each, block)),
        ("scaling.saturation", True, lambda: scaling.saturation(agents, each, block)),
        ("regimes.single_break", True, lambda: regimes.single_break(a)),
        ("regimes.fixed_break", False, lambda: regimes.fixed_break(a, SIZE // 2)),
        ("queueing.md1 and p_wait_le", False, lambda: queueing.md1(1, 0.9).p_wait_le(20)),
        ("queueing.check", False, lambda: queueing.check(gaps, a)),
        ("fairness.jain", False, lambda: fairness.jain(a)),
        ("series.warmup_mser5", False, lambda: series.warmup_mser5(a)),
        ("series.classify", False, lambda: series.classify(a)),
        ("series.autocorrelation", False, lambda: series.autocorrelation(a)),
        ("validation.holdout", False, lambda: validation.holdout(a, b, 1.0)),
        ("pareto.frontier", False, lambda: pareto.frontier(points, [0, 1], [2])),
    ]


def median_s(call: Callable[[], Any]) -> float:
    """Return the median time of warm calls; the null of a break is simulated anew each time."""
    from inferometer.stats import break_null

    call()
    times = []
    for _ in range(REPEATS):
        break_null._null.cache_clear()
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def main() -> int:
    """Print the table and return 1 when a call is too slow."""
    late, base = 0, None
    print(f"{SIZE:,} values, median of {REPEATS}\n")
    print(f"{'call':32} {'ms':>9} {'limit':>6} {'ratio':>8}")
    for name, heavy, call in cases():
        seconds = median_s(call)
        base = base or seconds
        limit = HEAVY_LIMIT_S if heavy else PLAIN_LIMIT_S
        mark = "" if seconds <= limit else "  TOO SLOW"
        late += seconds > limit
        ratio = seconds / base
        print(f"{name:32} {seconds * 1e3:9.2f} {limit * 1e3:6.0f} {ratio:8.1f}{mark}", flush=True)
    return 1 if late else 0


def _rates(hits: Any) -> Any:
    return equivalence.tost_proportions(int(hits.sum()), SIZE, int(hits.sum()) + 20, SIZE, 0.05)


def _usl_log(agents: Any, each: Any, block: Any) -> Any:
    return scaling.fit_usl(agents, agents * each, scale="log", block=block)


if __name__ == "__main__":
    sys.exit(main())
