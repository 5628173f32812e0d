"""Error rates of tests, of a family, and of TOST at the edge of its margin."""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
from scipy import stats

from inferometer.stats import compare, equivalence, proportions, scaling
from inferometer.stats.checking.cells import Band, Cell, Tally, add
from inferometer.stats.checking.means import BLOCKS, latencies

CRITERION = "5.2 errors of tests, families and TOST"
ERROR = Band(0.0, 0.065)
REJECTS, SAME = "true null rejected", "sameness claimed at the margin"
FAMILY = 8
MARGIN = 0.05
ITEMS = 200


def cells() -> list[Cell]:
    """Return the cells of criterion 5.2."""
    rejects: list[tuple[str, Any, str, dict[str, Any]]] = [
        (f"two SUTs, ICC {icc:g}", welch, "Welch over blocks", {"icc": icc})
        for icc in (0.0, 0.05, 0.3)
    ]
    rejects += [
        ("four SUTs, ICC 0.05", anova, "Welch ANOVA over blocks", {}),
        (f"family of {FAMILY} true nulls", family, "Holm", {}),
        ("right or wrong on 100 shared items", mcnemar, "McNemar mid-p", {}),
        ("Amdahl true, 7 blocks", lack_of_fit, "lack-of-fit F", {}),
    ]
    same: list[tuple[str, Any, str, dict[str, Any]]] = []
    for edge, sign in (("lower", -1), ("upper", 1)):
        same += [
            *(
                (
                    f"{kind}, block CV {cv:.0%}, {edge} edge",
                    tost,
                    "TOST",
                    {"sign": sign, "kind": kind, "cv": cv},
                )
                for kind, cv in (
                    ("difference", 0.02),
                    ("ratio", 0.02),
                    ("ratio", 0.06),
                    ("paired", 0.02),
                )
            ),
            (f"rates of other items, {edge} edge", tost_rates, "TOST", {"sign": sign}),
            (f"rates of shared items, {edge} edge", tost_shared, "TOST", {"sign": sign}),
        ]
    made = [
        Cell(CRITERION, setting, simulate, {(quantity, method): ERROR}, parameters)
        for quantity, group in ((REJECTS, rejects), (SAME, same))
        for setting, simulate, method, parameters in group
    ]
    return made


def welch(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count rejections when both SUTs are the same."""
    tally: Tally = {}
    for _ in range(runs):
        a, b = (latencies(rng, parameters["icc"], 0.0, False) for _ in range(2))
        over_blocks = compare.welch(a.mean(axis=1), b.mean(axis=1)).p
        pooled = stats.ttest_ind(a.ravel(), b.ravel(), equal_var=False).pvalue
        ranks = stats.mannwhitneyu(a.ravel(), b.ravel()).pvalue
        add(tally, REJECTS, "Welch over blocks", (over_blocks or 0) < 0.05)
        add(tally, REJECTS, "pooled Welch", pooled < 0.05)
        add(tally, REJECTS, "pooled Mann-Whitney", ranks < 0.05)
    return tally


def anova(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count rejections of equal means of four equal SUTs."""
    tally: Tally = {}
    for _ in range(runs):
        data = [latencies(rng, 0.05, 0.0, False) for _ in range(4)]
        fit = compare.anova([blocks.mean(axis=1) for blocks in data])
        pooled = stats.f_oneway(*(blocks.ravel() for blocks in data)).pvalue
        add(tally, REJECTS, "Welch ANOVA over blocks", (fit.welch_p or 0) < 0.05)
        add(tally, REJECTS, "pooled F", pooled < 0.05)
    return tally


def family(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count families with at least one rejection, all nulls being true."""
    tally: Tally = {}
    for _ in range(runs):
        pairs = rng.normal(size=(FAMILY, 2, BLOCKS))
        p = [compare.welch(a, b).p or 0.0 for a, b in pairs]
        add(tally, REJECTS, "Holm", any(compare.holm(p).reject))
        add(tally, REJECTS, "unadjusted p-values", min(p) < 0.05)
    return tally


def mcnemar(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count rejections when both SUTs have the same rate on shared items."""
    tally: Tally = {}
    for _ in range(runs):
        table = rng.multinomial(100, [0.6, 0.1, 0.1, 0.2]).reshape(2, 2)
        fit = proportions.mcnemar(table)
        first, second = (int(v) for v in (table[0].sum(), table[:, 0].sum()))
        spread = (first * (100 - first) + second * (100 - second)) / 100**3
        z = (first - second) / 100 / sqrt(spread)
        add(tally, REJECTS, "McNemar mid-p", fit.p_midp is not None and fit.p_midp < 0.05)
        add(tally, REJECTS, "unpaired z of two rates", abs(z) > 1.96)
    return tally


def lack_of_fit(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count rejections of Amdahl's law when it made the records."""
    tally: Tally = {}
    n, block = np.tile([1, 2, 3, 4, 6, 8], BLOCKS), np.repeat(np.arange(BLOCKS), 6)
    for _ in range(runs):
        noise = rng.normal(0, 0.05, BLOCKS)[block] + rng.normal(0, 0.05, n.size)
        fit = scaling.fit_amdahl(n, np.exp(noise) / (1 + 0.3 * (n - 1)), block)
        p = fit.lack_of_fit.p
        add(tally, REJECTS, "lack-of-fit F", p is not None and p < 0.05)
    return tally


def tost(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count claims of sameness when the true difference is exactly the margin."""
    tally: Tally = {}
    sign, kind = parameters["sign"], parameters["kind"]
    factor = log(1 + MARGIN)
    for _ in range(runs):
        a, b = rng.normal(0, parameters["cv"], (2, BLOCKS))
        if kind == "ratio":
            a, b = np.exp(a + sign * factor), np.exp(b)
            same = equivalence.tost(a, b, 1 / (1 + MARGIN), 1 + MARGIN, scale="ratio")
            p = compare.ratio(a, b).p
        elif kind == "paired":
            same = equivalence.tost_paired(a + sign * MARGIN, b, -MARGIN, MARGIN)
            p = compare.paired(a + sign * MARGIN, b).p
        else:
            same = equivalence.tost(a + sign * MARGIN, b, -MARGIN, MARGIN)
            p = compare.welch(a + sign * MARGIN, b).p
        add(tally, SAME, "TOST", bool(same.equivalent))
        add(tally, SAME, '"not significant" read as "same"', (p or 0) > 0.05)
    return tally


def tost_rates(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count claims of sameness of two success rates on different items, at the margin."""
    tally: Tally = {}
    second, margin = 0.75, 0.1
    for _ in range(runs):
        k1 = int(rng.binomial(ITEMS, second + parameters["sign"] * margin))
        k2 = int(rng.binomial(ITEMS, second))
        fit = equivalence.tost_proportions(k1, ITEMS, k2, ITEMS, margin)
        p1, p2 = k1 / ITEMS, k2 / ITEMS
        z = abs(p1 - p2) / sqrt((p1 * (1 - p1) + p2 * (1 - p2)) / ITEMS)
        add(tally, SAME, "TOST", bool(fit.equivalent))
        add(tally, SAME, '"not significant" read as "same"', z < 1.96)
    return tally


def tost_shared(parameters: dict[str, Any], runs: int, rng: np.random.Generator) -> Tally:
    """Count claims of sameness of two success rates on the same items, at the margin."""
    tally: Tally = {}
    margin = 0.05
    chances = [0.65, 0.05, 0.1, 0.2] if parameters["sign"] < 0 else [0.65, 0.1, 0.05, 0.2]
    for _ in range(runs):
        table = rng.multinomial(ITEMS, chances).reshape(2, 2)
        fit = equivalence.tost_paired_proportions(table, margin)
        p = proportions.mcnemar(table).p_exact
        add(tally, SAME, "TOST", bool(fit.equivalent))
        add(tally, SAME, '"not significant" read as "same"', p is None or p > 0.05)
    return tally
