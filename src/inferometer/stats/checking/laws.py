"""Coverage of the parameters of Amdahl's law and of the USL."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from inferometer.stats import scaling
from inferometer.stats.checking.cells import Band, Cell, Tally, add, inside
from inferometer.stats.checking.means import BLOCKS
from inferometer.stats.inputs import Floats

CRITERION = "5.3 coverage of scaling parameters"
AGENTS = np.tile([1.0, 2, 3, 4, 6, 8], BLOCKS)
BLOCK = np.repeat(np.arange(BLOCKS), 6)
COVERAGE = Band(0.93, 0.975)
BETA = 0.005
PROFILE, DELTA, NORMALISED = "profile F", "t (delta)", "normalised by measured x_1"


def cells() -> list[Cell]:
    """Return the cells of criterion 5.3."""
    made = []
    for s, cv in product((0.05, 0.45, 0.9), (0.03, 0.1)):
        setting = f"s {s:g}, block CV {cv:.0%}"
        judged = {("Amdahl s", PROFILE): COVERAGE, ("Amdahl s", DELTA): COVERAGE}
        made.append(Cell(CRITERION, setting, amdahl, judged, {"s": s, "cv": cv}))
    for cv in (0.03, 0.1):
        judged = {
            ("Amdahl s", PROFILE): Band(0.93, 1.0),
            ("Amdahl s below 0", "fit_amdahl"): Band(0.0, 0.0),
        }
        made.append(
            Cell(CRITERION, f"s 0, block CV {cv:.0%}", amdahl, judged, {"s": 0.0, "cv": cv})
        )
    for s, cv in product((0.05, 0.45, 0.9), (0.03, 0.1)):
        setting = f"alpha {s:g}, beta {BETA:g}, block CV {cv:.0%}"
        judged = {("USL alpha", PROFILE): COVERAGE, ("USL beta", PROFILE): COVERAGE}
        made.append(Cell(CRITERION, setting, usl, judged, {"alpha": s, "cv": cv}))
    return made


def amdahl(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count how often intervals of s cover it, and how often s comes out negative."""
    tally: Tally = {}
    s, cv = parameters["s"], parameters["cv"]
    for _ in range(runs):
        x = 20 / (1 + s * (AGENTS - 1)) * _noise(cv, rng)
        fit = scaling.fit_amdahl(AGENTS, x, BLOCK)
        add(tally, "Amdahl s", PROFILE, inside(fit.ci_profile, s))
        add(tally, "Amdahl s", NORMALISED, inside(_normalised(x), s))
        if s > 0:
            add(tally, "Amdahl s", DELTA, inside(fit.ci_delta, s))
        else:
            add(tally, "Amdahl s below 0", "fit_amdahl", fit.s < 0)
            add(tally, "Amdahl s below 0", NORMALISED, _normalised_s(x) < 0)
    return tally


def usl(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count how often intervals of alpha and beta cover them."""
    tally: Tally = {}
    alpha, cv = parameters["alpha"], parameters["cv"]
    n = AGENTS
    for _ in range(runs):
        total = 20 * n / (1 + alpha * (n - 1) + BETA * n * (n - 1)) * _noise(cv, rng)
        fit = scaling.fit_usl(n, total, scale="log", block=BLOCK)
        plain = scaling.fit_usl(n, total)
        for name, truth in (("alpha", alpha), ("beta", BETA)):
            add(tally, f"USL {name}", PROFILE, inside(fit.ci_profile[name], truth))
            add(tally, f"USL {name}", "t on linear scale, no blocks", inside(plain.ci[name], truth))
    return tally


def _noise(cv: float, rng: np.random.Generator) -> Floats:
    """Return what a block shares times what each of its cells has of its own."""
    shared = rng.normal(0, cv, BLOCKS)[BLOCK]
    return np.asarray(np.exp(shared + rng.normal(0, cv, AGENTS.size)))


def _normalised(x: Floats) -> tuple[float, float] | None:
    eta = x / x[AGENTS == 1].mean()
    fit = scaling.fit_curve(_efficiency, AGENTS, eta, [[0.05], [0.5]])
    return None if fit.ci is None else fit.ci[0]


def _normalised_s(x: Floats) -> float:
    eta = x / x[AGENTS == 1].mean()
    return scaling.fit_curve(_efficiency, AGENTS, eta, [[0.01]]).parameters[0]


def _efficiency(n: Floats, s: float) -> Floats:
    return 1 / (1 + s * (n - 1))
