"""The null law of the largest F over all breaks, simulated for white and for AR(1) errors."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.signal import lfilter

from inferometer.stats.break_search import break_statistics, residual_correlation
from inferometer.stats.inputs import Floats

NOISES = ("ar1", "white")
WHITE_DRAWS = 9999
AR_DRAWS = 1999
AR_GRID = np.arange(0.0, 0.95, 0.1)
PRIOR_SCALE = 0.4
"""Weight exp(-phi/scale) of an autocorrelation phi before the residuals are seen."""


def break_p_value(
    values: Floats, x: Floats | None, fewest: int, noise: str, seed: int
) -> tuple[float, float]:
    """Return P(sup F of the null >= the observed one) and the residual lag-1 correlation.

    For "ar1" the p-values of a grid of autocorrelations are averaged with the weights that each
    has given the observed lag-1 correlation of the residuals around the found break: a plug-in
    estimate would ignore that a short series does not tell its autocorrelation.
    """
    ratios = break_statistics(values[None, :], x, fewest)
    after = np.array([int(np.argmax(ratios[0])) + fewest])
    observed = float(ratios[0].max())
    r1 = float(residual_correlation(values[None, :], x, after)[0])
    key = None if x is None else tuple(((x - x[0]) / (float(np.ptp(x)) or 1.0)).round(12))
    if noise == "white":
        null, _, _ = _null(values.size, key, fewest, 0.0, WHITE_DRAWS, seed)
        return _exceeding(null, observed), r1
    tables = [_null(values.size, key, fewest, float(phi), AR_DRAWS, seed) for phi in AR_GRID]
    centres = np.array([table[1] for table in tables])
    spreads = np.array([table[2] for table in tables])
    likelihood = np.exp(-0.5 * ((r1 - centres) / spreads) ** 2) / spreads
    weights = likelihood * np.exp(-AR_GRID / PRIOR_SCALE)
    if weights.sum() == 0:
        weights = np.eye(AR_GRID.size)[int(np.argmin(np.abs(r1 - centres)))]
    p = np.array([_exceeding(table[0], observed) for table in tables])
    return float(weights @ p / weights.sum()), r1


def _exceeding(null: Floats, observed: float) -> float:
    above = null.size - int(np.searchsorted(null, observed, side="left"))
    return (above + 1) / (null.size + 1)


@lru_cache(maxsize=256)
def _null(
    n: int, x: tuple[float, ...] | None, fewest: int, phi: float, draws: int, seed: int
) -> tuple[Floats, float, float]:
    """Return sorted null statistics, and mean and sd of the residual lag-1 correlation."""
    at = None if x is None else np.array(x)
    rng = np.random.default_rng([seed, n, round(100 * phi)])
    largest, correlations = [], []
    rows = max(1, 2_000_000 // n)
    for begin in range(0, draws, rows):
        noise = rng.standard_normal((min(rows, draws - begin), n))
        noise[:, 0] /= np.sqrt(1 - phi**2)
        series = lfilter([1.0], [1.0, -phi], noise, axis=1) if phi else noise
        ratios = break_statistics(series, at, fewest)
        largest.append(ratios.max(axis=1))
        after = ratios.argmax(axis=1) + fewest
        correlations.append(residual_correlation(series, at, after))
    r1 = np.concatenate(correlations)
    return np.sort(np.concatenate(largest)), float(r1.mean()), float(r1.std(ddof=1))
