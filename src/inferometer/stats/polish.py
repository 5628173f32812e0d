"""The last digits of a least-squares minimum, which comparing sums of squares cannot find.

Around its minimum a sum of squares is flat for half the digits of a double, so where a search
ends within them depends on the processor's rounding. Its slope is not flat there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from inferometer.stats.inputs import Floats

NEAR = 1e-3
"""A first step above this share of a parameter says that the start was no minimum."""
MOST_STEPS = 100
COMPLEX_STEP = 1e-30


def polished(residuals: Callable[[Floats], Floats], start: Floats) -> tuple[Floats, Floats] | None:
    """Follow Gauss-Newton steps from a found minimum for as long as they get shorter.

    Parameters
    ----------
    residuals : function of the parameters, analytic: it must take complex numbers.
    start : parameters at which a search by sums of squares ended.

    Returns
    -------
    The parameters and the slopes of the residuals there (residuals x parameters); None where the
    slopes cannot be had or do not tell the parameters apart.

    Notes
    -----
    Slopes by the complex step of Squire and Trapp (1998), SIAM Rev. 40, 110-112: exact to the
    last digit, as differences are not.
    """
    at, last = np.asarray(start, dtype=float), NEAR
    slopes = _slopes(residuals, at)
    for _ in range(MOST_STEPS):
        step = None if slopes is None else _step(slopes, residuals(at))
        if step is None:
            return None
        length = float(np.max(np.abs(step) / np.where(at == 0, 1.0, np.abs(at))))
        if not length < last:
            break
        at, last = at + step, length
        slopes = _slopes(residuals, at)
    return None if slopes is None else (at, slopes)


def _step(slopes: Floats, left: Floats) -> Floats | None:
    """The Gauss-Newton step; None where the parameters cannot be told apart."""
    sizes = np.linalg.norm(slopes, axis=0)
    if not np.isfinite(sizes).all() or not (sizes > 0).all():
        return None
    scaled, _, rank, _ = np.linalg.lstsq(slopes / sizes, -left)
    step: Floats = scaled / sizes
    return step if rank == sizes.size else None


def _slopes(residuals: Callable[[Floats], Floats], at: Floats) -> Floats | None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            columns = [
                np.imag(residuals(at + 1j * COMPLEX_STEP * one)) / COMPLEX_STEP
                for one in np.eye(at.size)
            ]
        except (TypeError, ValueError, np.exceptions.ComplexWarning):
            return None
    return np.stack(columns, axis=-1)
