"""Show that two SUTs are the same within a margin declared in the design (TOST)."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.compare import TOO_FEW, paired_error, welch_error
from inferometer.stats.inputs import MIN_BLOCKS
from inferometer.stats.result import Interval, interval
from inferometer.stats.tost_power import Power, SupportedMargin, power, supported_margin
from inferometer.stats.tost_proportions import tost_paired_proportions, tost_proportions
from inferometer.stats.tost_result import ALPHA, Equivalence

__all__ = [
    "Equivalence",
    "Power",
    "SupportedMargin",
    "power",
    "supported_margin",
    "tost",
    "tost_paired",
    "tost_paired_proportions",
    "tost_proportions",
]

SCALES = ("difference", "ratio")


def tost(
    a: ArrayLike, b: ArrayLike, low: float, upp: float, scale: str = "difference"
) -> Equivalence:
    """Test whether two SUTs' means differ by less than a declared margin.

    Parameters
    ----------
    a, b : one value per block, any lengths.
    low, upp : the margin. On the "difference" scale ``low < 0 < upp`` in the unit of the data;
        on the "ratio" scale ``0 < low < 1 < upp``, for example .95 and 1.05.
    scale : "difference" (means) or "ratio" (geometric means, all values above 0).

    Returns
    -------
    Equivalence
        With fewer than 3 blocks on a side the tests and the interval are None.

    Raises
    ------
    ValueError
        A margin that does not enclose sameness; no variance on either side; bad samples.

    Notes
    -----
    Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680, with Welch's error (1947).
    """
    inputs.choice("scale", scale, SCALES)
    check = inputs.positive_sample if scale == "ratio" else inputs.sample
    first, second = check("a", a), check("b", b)
    bounds = _bounds(low, upp, scale)
    if scale == "ratio":
        first, second = np.log(first), np.log(second)
    diff = float(first.mean() - second.mean())
    if min(first.size, second.size) < MIN_BLOCKS:
        return _result(diff, None, bounds, scale)
    return _result(diff, welch_error(first, second), bounds, scale)


def tost_paired(
    a: ArrayLike, b: ArrayLike, low: float, upp: float, scale: str = "difference"
) -> Equivalence:
    """Test sameness within a margin over pairs: ``a[i]`` and ``b[i]`` share a block or an item.

    Arguments, result and errors are those of `tost`, with Student's t on the differences (of the
    logarithms on the "ratio" scale); the lengths must be equal and fewer than 3 pairs give no
    test. Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680.
    """
    inputs.choice("scale", scale, SCALES)
    check = inputs.positive_sample if scale == "ratio" else inputs.sample
    first, second = check("a", a), check("b", b)
    inputs.same_length(a=first, b=second)
    bounds = _bounds(low, upp, scale)
    gap = np.log(first) - np.log(second) if scale == "ratio" else first - second
    diff = float(gap.mean())
    if gap.size < MIN_BLOCKS:
        return _result(diff, None, bounds, scale)
    return _result(diff, (paired_error(gap), gap.size - 1), bounds, scale)


def _bounds(low: float, upp: float, scale: str) -> Interval:
    lower, upper = inputs.number("low", low), inputs.number("upp", upp)
    same = 1 if scale == "ratio" else 0
    if not lower < same < upper:
        raise ValueError(f"low, upp: on the {scale} scale low < {same} < upp is needed")
    if scale == "ratio":
        if lower <= 0:
            raise ValueError("low: must be above 0 on the ratio scale")
        return log(lower), log(upper)
    return lower, upper


def _result(
    diff: float, error: tuple[float, float] | None, bounds: Interval, scale: str
) -> Equivalence:
    back: Any = exp if scale == "ratio" else float
    shown: dict[str, Any] = {"low": back(bounds[0]), "upp": back(bounds[1]), "scale": scale}
    if error is None:
        nothing = (None,) * 6
        return Equivalence(back(diff), *nothing, **shown, supported=None, reason=TOO_FEW)
    se, df = error
    p_lower = float(stats.t.sf((diff - bounds[0]) / se, df))
    p_upper = float(stats.t.cdf((diff - bounds[1]) / se, df))
    half = float(stats.t.ppf(1 - ALPHA, df)) * se
    p = max(p_lower, p_upper)
    return Equivalence(
        estimate=back(diff),
        df=float(df),
        p_lower=p_lower,
        p_upper=p_upper,
        p=p,
        ci90=interval(back(diff - half), back(diff + half)),
        equivalent=p < ALPHA,
        supported=back(abs(diff) + half),
        **shown,
    )
