"""TR126: how many calls pay for compiling, with an interval."""

from collections.abc import Mapping
from math import sqrt

import numpy as np
from scipy import stats

from inferometer.economics.estimate import Estimate
from inferometer.stats.inputs import MIN_BLOCKS

ESTIMATOR = "mean cost over mean saving of the blocks; Fieller's interval"
NEVER = "never: compiled code is not faster here"
OPEN = "whether compiled code is faster is open, so that the calls have no upper bound"


def calls(cost_s: Mapping[int, float], saving_s: Mapping[int, float], unit: str) -> Estimate:
    """Calls after which the time saved is the time that compiling took.

    Parameters
    ----------
    cost_s, saving_s
        By block: seconds of compiling, and seconds that one call then saves (below 0: loses).

    Returns
    -------
    Estimate
        Mean cost over mean saving of the blocks that have both; undefined where the mean saving
        is not above 0. Where the saving is not told from 0 the interval is open above.

    Notes
    -----
    Fieller (1954), J. R. Stat. Soc. B 16, 175-185.
    """
    shared = sorted(cost_s.keys() & saving_s.keys())
    if not shared:
        return Estimate.undefined("no block has a cost and a saving", unit)
    cost = np.array([cost_s[block] for block in shared])
    saving = np.array([saving_s[block] for block in shared])
    if saving.mean() <= 0:
        return Estimate.undefined(NEVER, unit, len(shared))
    value = float(cost.mean() / saving.mean())
    if len(shared) < MIN_BLOCKS:
        why = f"fewer than {MIN_BLOCKS} blocks: no interval"
        return Estimate(value, unit, None, len(shared), why)
    low, high = _fieller(cost, saving)
    note = OPEN if high is None else None
    return Estimate(value, unit, (max(low, 0.0), high), len(shared), note=note)


def _fieller(cost: np.ndarray, saving: np.ndarray) -> tuple[float, float | None]:
    """Where the line cost - calls x saving is not told from 0, at 95 %; needs a mean saving > 0."""
    n = len(cost)
    spread = np.cov(cost, saving, ddof=1) / n * stats.t.ppf(0.975, n - 1) ** 2
    square = saving.mean() ** 2 - spread[1, 1]
    half = cost.mean() * saving.mean() - spread[0, 1]
    rest = cost.mean() ** 2 - spread[0, 0]
    root = sqrt(max(half**2 - square * rest, 0.0))
    if square > 0:
        return float((half - root) / square), float((half + root) / square)
    # the saving may be 0: what is left of the two branches begins at the root above 0
    return float((half - root) / square) if square < 0 else float(rest / (2 * half)), None
