"""Sampling noise: how much of a score's variance is the item's and how much is the dice's.

At a temperature above 0 the same item scores differently each time. Items here take the place of
blocks: between-item variance is real difference of difficulty, within-item variance is noise.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np
from scipy import stats

from inferometer.stats import blocks, inputs, intervals
from inferometer.stats.inputs import Floats
from inferometer.stats.result import Interval, Result

NO_REPETITION = "no item was repeated: noise and difference of items cannot be told apart"
NO_NOISE = "every repetition of every item scored the same: no noise was seen"
TOO_FEW_ITEMS = f"fewer than {inputs.MIN_BLOCKS} items: no intervals"


@dataclass(frozen=True, repr=False)
class SamplingNoise(Result):
    """Variance components over items, in the squared unit of the score.

    `within_share` is within / (between + within): 0 is deterministic, 1 means that items do not
    differ. `noise_of_mean` is the half-width that sampling alone gives the mean over these items,
    at the repetitions made, in the unit of the score. `between` is kept at or above 0;
    `truncated` says that its estimate was negative.
    """

    mean: float
    between: float | None
    within: float | None
    within_share: float | None
    between_ci: Interval | None
    within_ci: Interval | None
    within_share_ci: Interval | None
    noise_of_mean: float | None
    truncated: bool
    items: int
    scores: int
    confidence: float
    caution: str | None = None
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class Repetitions(Result):
    """Repetitions of each item at which the noise of the mean falls below `margin`.

    `needed_high` uses the upper end of the within-item variance: a number to plan with.
    """

    needed: int | None
    needed_high: int | None
    margin: float
    items: int
    reason: str | None = None


def sampling_noise(
    scores: Mapping[str, Sequence[float]], confidence: float = 0.95
) -> SamplingNoise:
    """Split the variance of repeated scores into between-item and within-item parts.

    Parameters
    ----------
    scores : item -> its scores, one for each repetition; items may have different numbers of
        them. Leave out repetitions without a score; never give 0 for them.

    Returns
    -------
    SamplingNoise
        `mean` is over item means, each item equal. Components are None when no item was repeated;
        intervals are BCa over items and None with fewer than 3 items or degenerate resamples;
        below 30 items `caution` says that they cover too little.

    Raises
    ------
    ValueError
        Fewer than 2 items, an item without scores, non-finite values.

    Notes
    -----
    Analysis-of-variance estimators for balanced and unbalanced data: Searle, Casella and
    McCulloch (1992), sec. 3.6, as `stats.blocks.variance_components`; intervals resample items
    with all their repetitions (Davison and Hinkley 1997, sec. 3.8).
    """
    parts = blocks.variance_components(dict(scores), confidence)
    data = [np.asarray(values, dtype=np.float64) for values in scores.values()]
    within, between = parts.var_within, parts.var_between
    if within is not None and inputs.constant(np.concatenate([d - d.mean() for d in data])):
        within = 0.0
    total = None if within is None or between is None else within + between
    ends, caution = _intervals(data, confidence) if within else ({}, None)
    return SamplingNoise(
        mean=parts.grand_mean,
        between=between,
        within=within,
        within_share=within / total if within is not None and total else None,
        between_ci=ends.get("between"),
        within_ci=ends.get("within"),
        within_share_ci=ends.get("share"),
        noise_of_mean=None if within is None else _noise(within, data, confidence),
        truncated=parts.truncated,
        items=parts.n_blocks,
        scores=parts.n_records,
        confidence=confidence,
        caution=caution,
        reason=_reason(within, len(data), ends),
    )


def repetitions_for(noise: SamplingNoise, margin: float) -> Repetitions:
    """Give the repetitions of each item at which sampling moves the mean by less than `margin`.

    Parameters
    ----------
    noise : of the items in question; the same items will be repeated.
    margin : half-width at the confidence of `noise`, in the unit of the score, above 0.

    Returns
    -------
    Repetitions
        The least r with ``z sqrt(within / (items r)) <= margin``; 1 where no noise was seen. The
        uncertainty from having few items is not in it: more repetitions do not lessen that.

    Raises
    ------
    ValueError
        A margin that is not above 0.
    """
    inputs.number("margin", margin, above=0)
    if noise.within is None:
        return Repetitions(None, None, margin, noise.items, noise.reason)
    z = float(stats.norm.ppf((1 + noise.confidence) / 2))

    def needed(within: float) -> int:
        return max(1, ceil(z**2 * within / (noise.items * margin**2)))

    high = needed(noise.within_ci[1]) if noise.within_ci else None
    reason = None if high is not None else noise.reason
    return Repetitions(needed(noise.within), high, margin, noise.items, reason)


def _noise(within: float, data: Sequence[Floats], confidence: float) -> float:
    """Half-width of the mean over item means that within-item variance alone gives."""
    z = float(stats.norm.ppf((1 + confidence) / 2))
    shares = sum(1 / values.size for values in data) / len(data) ** 2
    return z * sqrt(within * shares)


def _reason(within: float | None, items: int, ends: Mapping[str, Interval | None]) -> str | None:
    if within is None:
        return NO_REPETITION
    if within == 0:
        return NO_NOISE
    if items < inputs.MIN_BLOCKS:
        return TOO_FEW_ITEMS
    missing = [name for name in ("between", "within", "share") if ends.get(name) is None]
    return f"resamples are degenerate for: {', '.join(missing)}" if missing else None


def _intervals(
    data: Sequence[Floats], confidence: float
) -> tuple[dict[str, Interval | None], str | None]:
    """BCa intervals of between, within and the share, over items; and a caution for few items."""
    if len(data) < inputs.MIN_BLOCKS:
        return {}, None
    rows = np.arange(len(data), dtype=np.float64)
    with warnings.catch_warnings():  # an undefined interval is said in `reason`
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = {
            name: intervals.bca(rows, confidence, _resampled(data, name))
            for name in ("between", "within", "share")
        }
    caution = next((one.caution for one in found.values() if one.caution), None)
    return {name: one.ci for name, one in found.items()}, caution


def _resampled(data: Sequence[Floats], name: str) -> Callable[..., Any]:
    """A component as a function of arrays of item numbers, the last axis being the sample."""
    sizes = np.array([values.size for values in data], dtype=np.float64)
    means = np.array([values.mean() for values in data])
    squares = np.array([((values - values.mean()) ** 2).sum() for values in data])

    def component(rows: Any, axis: int = -1) -> Any:
        at = np.asarray(rows).astype(int)
        size, mean = sizes[at], means[at]
        total, count = size.sum(axis), at.shape[axis]
        with np.errstate(all="ignore"):
            within = squares[at].sum(axis) / (total - count)
            centre = np.expand_dims((size * mean).sum(axis) / total, axis)
            between = (size * (mean - centre) ** 2).sum(axis) / (count - 1)
            effective = (total - (size**2).sum(axis) / total) / (count - 1)
            between = np.maximum((between - within) / effective, 0.0)
            share = within / (between + within)
        return {"between": between, "within": within, "share": share}[name]

    return component
