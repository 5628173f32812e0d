"""False and missed breaks."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import lfilter

from inferometer.stats import regimes
from inferometer.stats.checking.cells import Band, Cell, Tally, add

CRITERION = "5.4 detection of a break"
FALSE = "break claimed where there is none"
FOUND = "3-sigma shift found within 1 point"
TIMES = 5
"""A false rate of .06 against a limit of .065 needs more than 1,000 simulations to be judged."""
AR1, WHITE = 'sup-F, noise "ar1" (default)', 'sup-F, noise "white"'
NAIVE, PLACED = "F at the found break", "placed within 1 point, whatever p"


def cells() -> list[Cell]:
    """Return the cells of criterion 5.4."""
    error, found = Band(0.0, 0.065), Band(0.95, 1.0)
    made = [
        Cell(
            CRITERION,
            f"{'white noise' if phi == 0 else f'AR({phi:g})'}, {n} points",
            simulate,
            {(FALSE, AR1): error} | ({(FALSE, WHITE): error} if phi == 0 else {}),
            {"n": n, "phi": phi, "shift": 0.0, "fewest": 3},
            times=TIMES,
        )
        for phi in (0.0, 0.3)
        for n in (10, 20, 40, 100)
    ]
    for n, fewest, judged in (
        (10, 3, {}),
        (10, 4, {(FOUND, WHITE): found}),
        (20, 3, {(FOUND, WHITE): found}),
        (40, 3, {(FOUND, WHITE): found, (FOUND, AR1): found}),
    ):
        setting = f"{n // 2} points a side, at least {fewest} kept a side"
        parameters = {"n": n, "phi": 0.0, "shift": 3.0, "fewest": fewest}
        made.append(Cell(CRITERION, setting, simulate, judged, parameters))
    return made


def simulate(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count claimed breaks without a shift, and rightly placed ones with it."""
    tally: Tally = {}
    n, phi, shift = parameters["n"], parameters["phi"], parameters["shift"]
    for _ in range(runs):
        noise = rng.normal(size=n)
        noise[1:] *= (1 - phi * phi) ** 0.5
        y = lfilter([1.0], [1.0, -phi], noise) + shift * (np.arange(n) >= n // 2)
        kept = {"min_segment": parameters["fewest"]}
        ar1 = regimes.single_break(y, noise="ar1", **kept)
        white = regimes.single_break(y, noise="white", **kept)
        near = not shift or abs(ar1.break_after - n // 2) <= 1
        quantity = FOUND if shift else FALSE
        add(tally, quantity, AR1, near and ar1.decision == "two regimes")
        add(tally, quantity, WHITE, near and white.decision == "two regimes")
        if shift:
            add(tally, quantity, PLACED, near)
        else:
            add(tally, quantity, NAIVE, ar1.naive_p < 0.05)
    return tally
