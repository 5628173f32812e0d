"""Published reference cases: certified, textbook or printed by another program."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from inferometer.stats import (
    blocks,
    compare,
    equivalence,
    fairness,
    intervals,
    power,
    proportions,
    queueing,
    regimes,
    scaling,
)

NONLINEAR = json.loads((Path(__file__).parent / "nist_nonlinear.json").read_text())
ANOVA_FILES = Path(scipy.stats.__file__).parent / "tests" / "data" / "nist_anova"


def near(value, rel=1e-6):
    return pytest.approx(value, rel=rel)


MODELS = {
    "Misra1a": lambda x, a, b: a * (1 - np.exp(-b * x)),
    "Misra1b": lambda x, a, b: a * (1 - (1 + b * x / 2) ** -2.0),
    "DanWood": lambda x, a, b: a * x**b,
    "Thurber": lambda x, a, b, c, d, e, f, g: (
        (a + b * x + c * x**2 + d * x**3) / (1 + e * x + f * x**2 + g * x**3)
    ),
    "Hahn1": lambda x, a, b, c, d, e, f, g: (
        (a + b * x + c * x**2 + d * x**3) / (1 + e * x + f * x**2 + g * x**3)
    ),
    "MGH09": lambda x, a, b, c, d: a * (x**2 + x * b) / (x**2 + x * c + d),
    "BoxBOD": lambda x, a, b: a * (1 - np.exp(-b * x)),
    "Rat43": lambda x, a, b, c, d: a / (1 + np.exp(b - c * x)) ** (1 / d),
    "Eckerle4": lambda x, a, b, c: a / b * np.exp(-0.5 * ((x - c) / b) ** 2),
}


@pytest.mark.parametrize("name", MODELS)
def test_nist_nonlinear(name):
    case = NONLINEAR[name]
    fit = scaling.fit_curve(MODELS[name], case["x"], case["y"], case["starts"])
    assert fit.rss == near(case["rss"], 1e-5 if name == "Hahn1" else 1e-6)
    assert fit.parameters == near(case["parameters"], 1e-4 if name == "Hahn1" else 1e-6)
    assert fit.se == near(case["se"], 1e-3 if name == "Hahn1" else 1e-4)


def test_nist_danwood_is_our_additive_power_law():
    case = NONLINEAR["DanWood"]
    fit = scaling.fit_power_law(case["x"], case["y"]).additive
    assert (fit.a, fit.b, fit.rss) == (
        near(0.76886226176),
        near(3.8604055871),
        near(4.3173084083e-3),
    )


@pytest.mark.parametrize(
    ("name", "f", "rel"),
    [
        ("SiRstv", 1.18046237440255, 1e-6),
        ("SmLs01", 21.0, 1e-6),
        ("AtmWtAg", 15.9467335677930, 1e-6),
        ("SmLs07", 21.0, 1e-3),
    ],
)
def test_nist_anova(name, f, rel):
    rows = (ANOVA_FILES / f"{name}.dat").read_text().splitlines()[60:]
    pairs = [row.split() for row in rows if len(row.split()) == 2]
    groups = {}
    for group, value in pairs:
        groups.setdefault(group, []).append(float(value))
    assert near(f, rel) == compare.anova(groups).F


NCSS_A = [452, 874, 554, 447, 356, 754, 558, 574, 664, 682, 547, 435, 245]
NCSS_B = [546, 547, 774, 465, 459, 665, 467, 365, 589, 534, 456, 651, 654, 665, 546, 537]


def test_tost_ncss_198():
    fit = equivalence.tost(NCSS_A, NCSS_B, -110, 110)
    assert fit.estimate == near(-8.1153846)
    assert fit.df == near(19.169, 1e-4)
    assert fit.p_lower == near(0.03628, 1e-4)
    assert fit.p_upper == near(0.02002, 2e-4)
    assert fit.equivalent
    assert compare.welch(NCSS_A, NCSS_B).ci == near((-120.27336, 104.04259))


@pytest.mark.parametrize(
    ("n", "expected", "tol"),
    [
        (3, 0.039, 5e-4),
        (8, 0.28871, 5e-6),
        (15, 0.69339, 5e-6),
        (30, 0.94326, 5e-6),
        (50, 0.99458, 5e-6),
    ],
)
def test_tost_power_pass_460(n, expected, tol):
    fit = equivalence.power(n, sd=18, margin=19.2, delta=-4)
    assert fit.power == pytest.approx(expected, abs=tol)


SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_sleep_welch_and_paired():
    fit = compare.welch(SLEEP_1, SLEEP_2)
    assert (fit.t, fit.df, fit.p) == (near(-1.8608135), near(17.776474), near(0.0793941))
    assert compare.paired(SLEEP_1, SLEEP_2).p == near(0.00283289)


def test_plant_growth():
    control = [4.17, 5.58, 5.18, 6.11, 4.50, 4.61, 5.17, 4.53, 5.33, 5.14]
    first = [4.81, 4.17, 4.41, 3.59, 5.87, 3.83, 6.03, 4.89, 4.32, 4.69]
    second = [6.31, 5.12, 5.54, 5.50, 5.37, 5.29, 4.92, 6.15, 5.80, 5.26]
    fit = compare.anova([control, first, second])
    assert near(4.846088) == fit.F
    assert (fit.welch_F, fit.welch_df2) == (near(5.180972), near(17.128419))


def test_holm():
    fit = compare.holm([0.01, 0.04, 0.03, 0.005])
    assert fit.p_adjusted == near((0.03, 0.06, 0.06, 0.02))
    assert fit.reject == (True, False, False, True)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_newcombe_1998(k, n, low, high):
    fit = proportions.wilson(k, n)
    assert (fit.low, fit.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_mcnemar_agresti():
    fit = proportions.mcnemar([[794, 150], [86, 570]])
    assert fit.chi2 == near(17.356, 1e-5)
    assert fit.p_exact == near(3.715936e-5)


def test_newcombe10_published():
    """Newcombe (1998), Stat. Med. 17, table II, the 36/12/2/0 case."""
    fit = proportions.mcnemar([[36, 12], [2, 0]])
    assert fit.ci_newcombe10 == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_power_of_t_test_r():
    assert power.of_t_test(20, 1.0) == near(0.8689528)


def test_minimum_detectable_where_statsmodels_is_wrong():
    assert power.minimum_detectable(3, alpha=0.005).d == near(5.761, 1e-4)


RAYTRACER = ([1, 4, 8, 12, 16, 20], [20, 78, 130, 170, 190, 200])
SPECSDM = (
    [1, 18, 36, 72, 108, 144, 216],
    [64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2],
)


def test_usl_raytracer():
    fit = scaling.fit_usl(*RAYTRACER)
    assert fit.gamma == near(20.85605)
    assert fit.alpha == near(0.02444404)
    assert fit.beta == near(0.001626809)
    assert fit.ci["alpha"] == pytest.approx((-0.00226, 0.05115), abs=5e-6)


def test_usl_specsdm91():
    fit = scaling.fit_usl(*SPECSDM)
    assert (fit.gamma, fit.alpha) == (near(89.99523), near(0.02772848))
    assert (fit.beta, fit.peak_n) == (near(1.043655e-4), near(96.51956))


def test_kalibera_jones():
    fit = blocks.plan([[9, 5, 8, 3], [10, 6, 7, 11], [1, 12, 2, 4]], costs=[1, 10])
    assert fit.mean == 6.5
    assert fit.variances[1] == pytest.approx(0.3819, abs=5e-5)


def test_nile_flow():
    from statsmodels.datasets import nile

    fit = regimes.single_break(nile.load_pandas().data["volume"], min_segment=15)
    assert fit.break_after == 28
    assert fit.sup_F == pytest.approx(75.93, abs=0.005)
    assert fit.decision == "two regimes"


@pytest.mark.parametrize(("rho", "wait"), [(0.5, 0.5), (0.8, 2.0), (0.9, 4.5)])
def test_md1(rho, wait):
    assert queueing.md1(1.0, rho).Wq == near(wait)


def test_jain():
    assert fairness.jain([1, 3, 5]).index == near(81 / 105)


def test_amdahl_speed_up():
    n = np.array([1, 2, 4, 8])
    fit = scaling.fit_amdahl(n, 10 / (1 + 0.05 * (n - 1)))
    assert 8 * fit.efficiency([8])[0] == near(5.925926)


@pytest.mark.parametrize(("q", "n"), [(0.95, 72), (0.99, 368)])
def test_least_sample_of_a_tail(q, n):
    enough = intervals.quantile(np.arange(n), q)
    assert enough.ci[1] == n - 1
    short = intervals.quantile(np.arange(n - 1), q)
    assert short.ci[1] is None
    assert f"{n} needed" in short.reason
