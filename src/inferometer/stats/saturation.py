"""Where a shared server saturates: agents at half efficiency, agents at 90 % of the limit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, floor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from inferometer.stats import inputs
from inferometer.stats.amdahl import AmdahlFit, fit_amdahl
from inferometer.stats.inputs import MIN_BLOCKS, Floats
from inferometer.stats.intervals import mean_of_blocks
from inferometer.stats.result import Interval, Result, interval
from inferometer.stats.scaling_records import scaling_records

FLAT = "s = 0: efficiency does not fall, so nothing saturates"

Ends = tuple[float | None, float | None]


@dataclass(frozen=True, repr=False)
class Efficiency(Result):
    """Measured efficiency at one N: mean ratio to the same blocks' throughput at N = 1."""

    n: float
    eta: float | None
    ci: Interval | None
    blocks: int
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class Saturation(Result):
    """Saturation points by Amdahl's fit, and by the measured efficiencies without a law.

    `crossing` is the real N at which the fitted eta equals `eta`; `n_star` the first whole N
    below it. `n_share` is the real N at which the fitted speed-up reaches `share` of its limit.
    An interval's end of None means "no such N up to any size". `n_share_extrapolated` says that
    the point lies beyond the largest measured N.
    `measured_n_star` is the first measured N whose efficiency is below `eta`, and
    `measured_n_star_certain` the first whose whole interval is.
    """

    eta: float
    crossing: float | None
    crossing_ci: Ends | None
    n_star: int | None
    n_star_ci: tuple[int | None, int | None] | None
    share: float
    n_share: float | None
    n_share_ci: Ends | None
    n_share_extrapolated: bool | None
    measured_n_star: float | None
    measured_n_star_certain: float | None
    efficiencies: tuple[Efficiency, ...]
    fit: AmdahlFit
    reason: str | None = None


def efficiency(
    n: ArrayLike, x: ArrayLike, block: Iterable[Any], confidence: float = 0.95
) -> tuple[Efficiency, ...]:
    """Give the measured efficiency ``x_N / x_1`` at each N, paired inside blocks.

    Parameters
    ----------
    n, x, block : agents, throughput per agent (above 0) and block of each record; only blocks
        that measured N = 1 take part.

    Returns
    -------
    tuple of Efficiency
        One per N, ascending; ``eta`` is the geometric mean of the blocks' ratios, with Student's
        interval on the logarithms. N = 1 is 1 by definition, without interval, as is any N seen
        in fewer than 3 blocks.

    Raises
    ------
    ValueError
        Bad input, or no block with N = 1.

    Notes
    -----
    These describe the data. They share the measured baseline, so no law is fitted to them.
    """
    inputs.fraction("confidence", confidence)
    records = scaling_records(n, x, block)
    alone = dict(zip(records.codes[records.n == 1], records.log_x[records.n == 1], strict=True))
    if not alone:
        raise ValueError("n: no block has a record at N = 1")
    return tuple(
        _efficiency_at(float(level), records.n, records.log_x, records.codes, alone, confidence)
        for level in records.levels
    )


def saturation(
    n: ArrayLike,
    x: ArrayLike,
    block: Iterable[Any] | None = None,
    eta: float = 0.5,
    share: float = 0.9,
    confidence: float = 0.95,
) -> Saturation:
    """Find N* (efficiency falls below `eta`) and the N that reaches `share` of the limit.

    Parameters
    ----------
    n, x, block : as in `fit_amdahl`: agents, throughput per agent, block of each record.
    eta : the efficiency that counts as saturated, strictly between 0 and 1.
    share : the share of the limiting speed-up ``1/s``, strictly between 0 and 1.

    Returns
    -------
    Saturation
        ``crossing = 1 + (1/eta - 1)/s`` and ``n_share = share (1 - s) / ((1 - share) s)``, not
        below 1. Both fall as s grows, so their intervals are those of s (profile) carried over.
        At s = 0 both are None with a reason, and only the lower ends exist. The measured fields
        need blocks that include N = 1; otherwise they are None or empty.

    Raises
    ------
    ValueError
        Bad input; `eta` or `share` outside (0, 1).

    Notes
    -----
    Algebra on Amdahl (1967): ``eta(N) = 1/(1 + s(N-1))`` and ``N eta(N) = share / s``.
    """
    level, part = inputs.fraction("eta", eta), inputs.fraction("share", share)
    fit = fit_amdahl(n, x, block, confidence)
    crossing, n_share = _crossing(fit.s, level), _reach(fit.s, part)
    ends = fit.ci_profile
    crossing_ci = n_share_ci = n_star_ci = None
    if ends is not None:
        crossing_ci = _crossing(ends[1], level), _crossing(ends[0], level)
        n_share_ci = _reach(ends[1], part), _reach(ends[0], part)
        n_star_ci = _first_below(crossing_ci[0]), _first_below(crossing_ci[1])
    measured = _measured(n, x, block, confidence)
    below = [point.n for point in measured if point.eta is not None and point.eta < level]
    certain = [point.n for point in measured if point.ci is not None and point.ci[1] < level]
    largest = float(np.max(inputs.sample("n", n)))
    return Saturation(
        eta=level,
        crossing=crossing,
        crossing_ci=crossing_ci,
        n_star=_first_below(crossing),
        n_star_ci=n_star_ci,
        share=part,
        n_share=n_share,
        n_share_ci=n_share_ci,
        n_share_extrapolated=None if n_share is None else n_share > largest,
        measured_n_star=min(below, default=None),
        measured_n_star_certain=min(certain, default=None),
        efficiencies=measured,
        fit=fit,
        reason="s = 0: efficiency does not fall, so nothing saturates"
        if fit.s == 0
        else fit.reason,
    )


def _crossing(s: float | None, eta: float) -> float | None:
    if s is None:
        return 1.0
    return 1 + (1 / eta - 1) / s if s > 0 else None


def _reach(s: float | None, share: float) -> float | None:
    if s is None:
        return 1.0
    return max(share * (1 - s) / ((1 - share) * s), 1.0) if s > 0 else None


def _first_below(crossing: float | None) -> int | None:
    return None if crossing is None else floor(crossing + 1e-9) + 1


def _measured(
    n: ArrayLike, x: ArrayLike, block: Iterable[Any] | None, confidence: float
) -> tuple[Efficiency, ...]:
    if block is None or 1.0 not in inputs.sample("n", n):
        return ()
    return efficiency(n, x, block, confidence)


def _efficiency_at(
    level: float, n: Floats, log_x: Floats, codes: Any, alone: dict[Any, Any], confidence: float
) -> Efficiency:
    rows = [i for i in np.flatnonzero(n == level) if codes[i] in alone]
    if level == 1:
        return Efficiency(1.0, 1.0, None, len(rows), "1 by definition")
    if not rows:
        return Efficiency(level, None, None, 0, "no block has both this N and N = 1")
    mean = mean_of_blocks([log_x[i] - alone[codes[i]] for i in rows], confidence)
    ci = None if mean.ci is None else interval(exp(mean.ci[0]), exp(mean.ci[1]))
    few = f"{len(rows)} of the {MIN_BLOCKS} blocks that an interval needs"
    reason = few if len(rows) < MIN_BLOCKS else mean.reason
    return Efficiency(level, exp(mean.estimate), ci, len(rows), reason)
