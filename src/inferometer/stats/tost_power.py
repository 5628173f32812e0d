"""Power of a TOST before it is run, and the margin that a design can support."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log, sqrt

import numpy as np
from scipy import integrate, special, stats
from scipy.optimize import brentq

from inferometer.stats import inputs
from inferometer.stats.result import Result


@dataclass(frozen=True, repr=False)
class Power(Result):
    """Probability that the TOST of this design shows equivalence."""

    power: float
    n: int
    sd: float
    margin: float
    delta: float
    alpha: float
    paired: bool

    def __float__(self) -> float:
        return self.power


@dataclass(frozen=True, repr=False)
class SupportedMargin(Result):
    """Smallest symmetric margin that this design shows with the wanted power."""

    margin: float
    power: float
    n: int
    sd: float
    delta: float
    alpha: float
    paired: bool

    def __float__(self) -> float:
        return self.margin


def power(
    n: int,
    sd: float,
    margin: float,
    delta: float = 0.0,
    alpha: float = 0.05,
    paired: bool = False,
) -> Power:
    """Give the exact power of a TOST against ``-margin`` and ``+margin``.

    Parameters
    ----------
    n : blocks on each side (pairs when `paired`), at least 2.
    sd : standard deviation of one block value (of one difference when `paired`). On the ratio
        scale use the sd of the logarithms (close to the CV) and ``log`` of the margin's factor.
    margin, delta : half-width of the margin and the true difference, in the unit of `sd`.

    Returns
    -------
    Power
        From the joint law of the two t statistics, by integrating over the estimated sd.

    Raises
    ------
    ValueError
        `sd` or `margin` not above 0; `alpha` outside (0, 1); `n` below 2.

    Notes
    -----
    Owen (1965), Biometrika 52, 437-446; Phillips (1990), J. Pharmacokinet. Biopharm. 18, 137-144.
    """
    blocks = inputs.whole("n", n, 2)
    spread = inputs.number("sd", sd, above=0)
    half = inputs.number("margin", margin, above=0)
    shift = inputs.number("delta", delta)
    level = inputs.fraction("alpha", alpha)
    df = blocks - 1 if paired else 2 * (blocks - 1)
    se = spread * sqrt((1 if paired else 2) / blocks)
    value = _owen(half / se, shift / se, df, level)
    return Power(value, blocks, spread, half, shift, level, paired)


def supported_margin(
    n: int,
    sd: float,
    power: float = 0.8,
    delta: float = 0.0,
    alpha: float = 0.05,
    paired: bool = False,
) -> SupportedMargin:
    """Give the smallest margin that `n` blocks a side show with the wanted power.

    Arguments and errors are those of `power`; the wanted power lies strictly between 0 and 1 and
    `alpha` below .5. The answer is checked by evaluating the power at it.
    Owen (1965), Biometrika 52, 437-446, inverted.
    """
    wanted = inputs.fraction("power", power)
    level = inputs.fraction("alpha", alpha)
    if level >= 0.5:
        raise ValueError(f"alpha: must be below 0.5, got {level:g}")
    unit = inputs.number("sd", sd, above=0)

    def miss(margin: float) -> float:
        return _power(n, sd, margin, delta, alpha, paired).power - wanted

    upper = abs(inputs.number("delta", delta)) + unit
    while miss(upper) < 0:
        upper *= 2
    margin = float(brentq(miss, 1e-9 * unit, upper, xtol=1e-12 * upper, rtol=1e-12))
    if abs(miss(margin)) > 1e-6:
        raise ArithmeticError("supported_margin: the solution does not reach the wanted power")
    reached = miss(margin) + wanted
    return SupportedMargin(margin, reached, int(n), unit, float(delta), level, paired)


_power = power


def _owen(margin: float, shift: float, df: int, alpha: float) -> float:
    """Integrate the acceptance probability over s/sigma; margins are in standard errors."""
    t = float(stats.t.ppf(1 - alpha, df))
    widest = margin / t if t > 0 else np.inf
    centre, spread = 1.0, 1 / sqrt(2 * df)

    scale = log(2) + df / 2 * log(df / 2) - lgamma(df / 2)

    def integrand(s: float) -> float:
        inside = special.ndtr(margin - shift - t * s) - special.ndtr(-margin - shift + t * s)
        density = exp(scale + (df - 1) * log(s) - df * s * s / 2) if s > 0 else 0.0
        return float(inside * density)

    upper = min(widest, centre + 40 * spread)
    points = [p for p in (centre - 6 * spread, centre, centre + 6 * spread) if 0 < p < upper]
    value, _ = integrate.quad(
        integrand, 0, upper, points=points or None, epsabs=1e-11, epsrel=1e-10, limit=200
    )
    return float(min(max(value, 0.0), 1.0))
