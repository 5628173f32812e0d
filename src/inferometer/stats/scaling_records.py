"""Records of a scaling experiment, reduced to what a law's sum of squares needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inferometer.stats import inputs
from inferometer.stats.inputs import Floats

MOST_LEVELS = 512
EXACT = 1e-12
"""Residual rms of the logarithms below which records are taken to lie exactly on a curve."""


@dataclass(frozen=True)
class ScalingRecords:
    """One value per block and N, on the log scale, with one free intercept per block.

    For any law g over the levels, the least sum of squares over the intercepts is
    ``rss_within + |factor @ (target - g)|^2``: the saturated fit plus the lack of fit.
    """

    n: Floats
    log_x: Floats
    codes: NDArray[np.intp]
    blocks: int
    declared_blocks: bool
    levels: Floats
    target: Floats
    factor: Floats
    rss_within: float
    df_within: int
    aggregated: bool

    @property
    def size(self) -> int:
        """Number of values after averaging repeats of one N inside one block."""
        return int(self.n.size)

    @property
    def total_squares(self) -> float:
        """Sum of squares of the logarithms about their block means."""
        return self.rss_within + float(((self.factor @ self.target) ** 2).sum())

    def intercepts(self, law_at_n: Floats) -> Floats:
        """Return each block's fitted log throughput at N = 1 under a law's values."""
        counts = np.bincount(self.codes, minlength=self.blocks)
        return np.bincount(self.codes, self.log_x - law_at_n, self.blocks) / counts

    def exact(self, rss: float) -> bool:
        """Say whether residuals are rounding errors, which leaves no error to estimate."""
        return rss <= self.size * EXACT**2


def scaling_records(n: ArrayLike, x: ArrayLike, block: Iterable[Any] | None) -> ScalingRecords:
    """Check and reduce records; repeats of one N inside one block are averaged first."""
    agents = inputs.sample("n", n, 2)
    values = inputs.positive_sample("x", x, 2)
    inputs.same_length(n=agents, x=values)
    if (agents < 1).any():
        raise ValueError("n: every number of agents must be at least 1")
    codes = _block_codes(block, agents.size)
    aggregated = False
    if block is not None:
        agents, values, codes, aggregated = _average_repeats(agents, values, codes)
    levels, level_of = np.unique(agents, return_inverse=True)
    if levels.size < 2:
        raise ValueError("n: needs at least 2 different numbers of agents")
    if levels.size > MOST_LEVELS:
        raise ValueError(f"n: at most {MOST_LEVELS} different numbers of agents, got {levels.size}")
    log_x, blocks = np.log(values), int(codes.max()) + 1
    target, factor, rank = _reduce(level_of, codes, log_x, levels.size, blocks)
    residual = _within(log_x - target[level_of], codes, blocks)
    return ScalingRecords(
        n=agents,
        log_x=log_x,
        codes=codes,
        blocks=blocks,
        declared_blocks=block is not None,
        levels=levels,
        target=target,
        factor=factor,
        rss_within=float((residual**2).sum()),
        df_within=agents.size - blocks - rank,
        aggregated=aggregated,
    )


def _block_codes(block: Iterable[Any] | None, size: int) -> NDArray[np.intp]:
    if block is None:
        return np.zeros(size, dtype=np.intp)
    labels = list(block)
    if len(labels) != size:
        raise ValueError(f"block: must have one label per record ({len(labels)} for {size})")
    names = {label: code for code, label in enumerate(dict.fromkeys(labels))}
    return np.array([names[label] for label in labels], dtype=np.intp)


def _average_repeats(
    agents: Floats, values: Floats, codes: NDArray[np.intp]
) -> tuple[Floats, Floats, NDArray[np.intp], bool]:
    keys = np.column_stack([codes.astype(float), agents])
    cells, cell_of = np.unique(keys, axis=0, return_inverse=True)
    if len(cells) == agents.size:
        return agents, values, codes, False
    cell_of = cell_of.ravel()
    means = np.bincount(cell_of, values) / np.bincount(cell_of)
    return cells[:, 1].copy(), means, cells[:, 0].astype(np.intp), True


def _within(values: Floats, codes: NDArray[np.intp], blocks: int) -> Floats:
    means = np.bincount(codes, values, blocks) / np.bincount(codes, minlength=blocks)
    return values - means[codes]


def _reduce(
    level_of: NDArray[np.intp], codes: NDArray[np.intp], log_x: Floats, levels: int, blocks: int
) -> tuple[Floats, Floats, int]:
    """Return the saturated estimate over levels, a root of its normal matrix, and its rank."""
    counts = np.zeros((blocks, levels))
    np.add.at(counts, (codes, level_of), 1.0)
    sizes = counts.sum(axis=1)
    normal = np.diag(counts.sum(axis=0)) - counts.T @ (counts / sizes[:, None])
    right = np.bincount(level_of, _within(log_x, codes, blocks), levels)
    values, vectors = np.linalg.eigh(normal)
    kept = values > values[-1] * 1e-10
    roots, basis = np.sqrt(values[kept]), vectors[:, kept]
    target = basis @ ((basis.T @ right) / values[kept])
    return target, roots[:, None] * basis.T, int(kept.sum())
