"""Undefined is None with a reason; bad input is refused by name."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest

from inferometer.stats import (
    blocks,
    compare,
    equivalence,
    fairness,
    intervals,
    pareto,
    power,
    proportions,
    queueing,
    regimes,
    scaling,
    series,
    validation,
)

N = [1, 2, 4, 8]
X = [10.0, 9.0, 7.0, 5.0]

REFUSED = [
    ("a", lambda: compare.welch([], [1, 2, 3])),
    ("a", lambda: compare.welch([1, float("nan"), 3], [1, 2, 3])),
    ("b", lambda: compare.welch([1, 2, 3], [[1, 2], [3, 4]])),
    ("a, b", lambda: compare.welch([1, 1, 1], [2, 2, 2])),
    ("confidence", lambda: compare.welch([1, 2, 3], [1, 2, 4], confidence=95)),
    ("a, b", lambda: compare.paired([1, 2, 3], [2, 3, 4])),
    ("a, b", lambda: compare.paired([1, 2, 3], [1, 2])),
    ("a", lambda: compare.ratio([1, 0, 3], [1, 2, 3])),
    ("groups", lambda: compare.anova([[1, 2, 3]])),
    ("groups", lambda: compare.anova([[1, 1], [2, 2]])),
    ("p", lambda: compare.holm([0.1, 1.2])),
    ("low, upp", lambda: equivalence.tost([1, 2, 3], [1, 2, 3], 1, 2)),
    ("low", lambda: equivalence.tost([1, 2, 3], [1, 2, 3], -0.1, 1.1, scale="ratio")),
    ("scale", lambda: equivalence.tost([1, 2, 3], [1, 2, 3], -1, 1, scale="log")),
    ("sd", lambda: equivalence.power(7, 0, 1)),
    ("margin", lambda: equivalence.tost_proportions(1, 2, 1, 2, 0)),
    ("k1", lambda: equivalence.tost_proportions(3, 2, 1, 2, 0.1)),
    ("table", lambda: equivalence.tost_paired_proportions([1, 2, 3, 4], 0.1)),
    ("k", lambda: proportions.wilson(-1, 10)),
    ("n", lambda: proportions.wilson(0, 0)),
    ("table", lambda: proportions.mcnemar([[0.5, 1], [1, 2]])),
    ("block_values", lambda: intervals.mean_of_blocks([])),
    ("q", lambda: intervals.quantile([1, 2, 3], 1.0)),
    ("resamples", lambda: intervals.bootstrap_t([1, 2, 3], resamples=10)),
    ("seed", lambda: intervals.bca([1, 2, 3], seed=-1)),
    ("blocks", lambda: blocks.variance_components([[1, 2, 3]])),
    ("pilot", lambda: blocks.plan([1, 2, 3], [1])),
    ("costs", lambda: blocks.plan([[1, 2], [3, 4]], [1])),
    ("n", lambda: scaling.fit_amdahl([0, 1, 2], [1, 1, 1])),
    ("n", lambda: scaling.fit_amdahl([2, 2, 2], [1, 1, 1])),
    ("x", lambda: scaling.fit_amdahl(N, [1, 2, -3, 4])),
    ("n, x", lambda: scaling.fit_amdahl(N, [1, 2, 3])),
    ("block", lambda: scaling.fit_amdahl(N, X, [1, 2])),
    ("block", lambda: scaling.fit_usl(N, X, block=[1, 1, 2, 2])),
    ("n", lambda: scaling.fit_usl([1, 2, 1], [1, 2, 1])),
    ("scale", lambda: scaling.fit_usl(N, X, scale="sqrt")),
    ("x", lambda: scaling.fit_power_law([1, 1], [1, 2])),
    ("laws", lambda: scaling.select(N, X, laws=["logistic"])),
    ("eta", lambda: scaling.saturation(N, X, eta=1)),
    ("y", lambda: regimes.single_break([1, 2, 3, 4])),
    ("y", lambda: regimes.single_break([1.0] * 20)),
    ("x", lambda: regimes.single_break(range(9), [3, 2, 1, 4, 5, 6, 7, 8, 9])),
    ("rho", lambda: queueing.md1(1, 1.0)),
    ("rho", lambda: queueing.md1(1, -0.1)),
    ("service_s", lambda: queueing.md1(0, 0.5)),
    ("x", lambda: fairness.jain([1, -1])),
    ("x", lambda: series.warmup_mser5([1, 2, 3])),
    ("better", lambda: series.classify(range(30), better="faster")),
    ("y_true, y_pred", lambda: validation.holdout([1, 2], [1])),
    ("configurations", lambda: validation.leave_one_out(["a", "a"])),
    ("points", lambda: pareto.frontier([{"a": 1}], ["b"])),
    ("minimise, maximise", lambda: pareto.frontier([{"a": 1}])),
    ("power", lambda: power.minimum_detectable(5, alpha=0.5, power=0.4)),
    ("n", lambda: power.minimum_detectable(1)),
    ("test", lambda: power.smallest_p("z", 5)),
]


@pytest.mark.parametrize(("argument", "call"), REFUSED)
def test_bad_input_is_refused_by_name(argument, call):
    with pytest.raises(ValueError, match=rf"^{argument}(\[.*\])?: "):
        call()


UNDEFINED = [
    ("ci", lambda: compare.welch([1, 2], [3, 4, 6])),
    ("p", lambda: compare.ratio([1, 2], [3, 4, 6])),
    ("welch_F", lambda: compare.anova([[1, 2, 3], [2, 2, 2]])),
    ("ci90", lambda: equivalence.tost([1, 2], [1, 3], -1, 1)),
    ("equivalent", lambda: equivalence.tost_paired([1, 2], [1, 3], -1, 1)),
    ("p_exact", lambda: proportions.mcnemar([[5, 0], [0, 5]])),
    ("ci", lambda: intervals.mean_of_blocks([1, 2])),
    ("ci", lambda: intervals.mean_of_blocks([5, 5, 5])),
    ("ci", lambda: intervals.bootstrap_t([5, 5, 5])),
    ("ci", lambda: intervals.bca([5, 5, 5])),
    ("ci", lambda: blocks.variance_components([[1, 2, 3], [3, 4, 5]])),
    ("icc", lambda: blocks.variance_components([[1], [3], [4]])),
    ("index", lambda: fairness.jain([0, 0])),
    ("limit", lambda: scaling.fit_amdahl(N * 3, [1, 1.1, 1.2, 1.3, 1, 1.2, 1.1, 1.3, 1, 1, 1, 2])),
    ("ci_profile", lambda: scaling.fit_amdahl([1, 2], [10, 9])),
    ("ci_profile", lambda: scaling.fit_amdahl(N * 2, X * 2, [0] * 4 + [1] * 4)),
    ("se_b", lambda: scaling.fit_power_law([1, 2], [3, 5]).loglog),
    ("F", lambda: scaling.fit_amdahl(N, X).lack_of_fit),
    ("crossing", lambda: scaling.saturation(N, [1, 1.2, 1.1, 1.3])),
    ("best", lambda: scaling.select([1, 2, 4], [10, 8, 5])),
    ("cut", lambda: series.warmup_mser5(np.arange(100.0))),
    ("r1", lambda: series.autocorrelation([1.0] * 20)),
    ("mape", lambda: validation.holdout([0, 1], [1, 1])),
    ("r2_oos", lambda: validation.holdout([2, 1], [1, 1])),
    ("ratio", lambda: power.minimum_detectable(7)),
]


@pytest.mark.parametrize(("field", "call"), UNDEFINED)
def test_undefined_is_none_with_a_reason(field, call):
    result = call()
    assert getattr(result, field) is None
    assert result.reason


def test_no_interval_is_ever_of_zero_width():
    assert scaling.fit_amdahl(N, [8.0, 8.0, 8.0, 8.0]).ci_profile is None
    assert scaling.fit_power_law([1, 2, 3], [2, 4, 6]).loglog.ci_b is None
    assert scaling.fit_usl(N, [1.0, 2.0, 4.0, 8.0]).ci_profile["alpha"] is None


def test_at_s_0_the_interval_is_one_sided():
    n, x = N * 3, [1, 1.1, 1.2, 1.3, 1, 1.2, 1.1, 1.3, 1, 1, 1, 2]
    fit = scaling.fit_amdahl(n, x)
    assert (fit.s, fit.one_sided, fit.se_s) == (0, True, None)
    assert fit.ci_profile[0] == 0 < fit.ci_profile[1]
    assert fit.limit_ci[1] is None


def test_limit_below_the_best_speed_up_is_said():
    n, x = [1] * 10 + [2] * 10 + [32], [10.0] * 10 + [5.0] * 10 + [2.0]
    fit = scaling.fit_amdahl(n, x)
    assert not fit.limit_consistent
    assert "below the measured speed-up" in fit.caution


def test_repeats_inside_a_block_are_averaged_not_counted():
    n, x, block = np.repeat(N * 3, 5), [], np.repeat(np.repeat([0, 1, 2], 4), 5)
    x = 10 / (1 + 0.2 * (n - 1)) * np.random.default_rng(0).lognormal(0, 0.05, n.size)
    fit = scaling.fit_amdahl(n, x, block)
    assert fit.n_records == 12
    assert "averaged" in fit.caution


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series])
def test_containers(kind):
    a, b = kind([1.0, 2.0, 4.0]), kind([2.0, 3.0, 3.5])
    assert compare.welch(a, b).p == compare.welch([1, 2, 4], [2, 3, 3.5]).p
    block = kind(["u", "u", "u", "u", "v", "v", "v", "v", "w", "w", "w", "w"])
    fit = scaling.fit_amdahl(kind(N * 3), kind([9.0, 8, 6, 4, 10, 9, 7, 5, 11, 9, 8, 5]), block)
    assert fit.n_blocks == 3


def test_a_series_with_a_strange_index_is_taken_by_position():
    x = pd.Series([10.0, 9.0, 7.0, 5.0], index=[7, 3, 1, 0])
    assert scaling.fit_amdahl(N, x).s == scaling.fit_amdahl(N, X).s


def test_results_are_frozen_readable_and_plain():
    fit = scaling.fit_amdahl(N, X)
    with pytest.raises(FrozenInstanceError):
        fit.s = 1.0
    assert "AmdahlFit(" in repr(fit)
    assert "s=" in repr(fit)
    plain = json.loads(json.dumps(scaling.saturation(N * 3, X * 3).to_dict()))
    assert plain["fit"]["s"] == pytest.approx(fit.s)


def test_seeds_repeat():
    values = np.random.default_rng(0).lognormal(0, 1, 50)
    for call in (intervals.bootstrap_t, intervals.bca):
        assert call(values, seed=3) == call(values, seed=3)
        assert call(values, seed=3) != call(values, seed=4)


def test_comparing_needs_neither_lmfit_nor_statsmodels():
    code = (
        "import sys, inferometer.stats.compare, inferometer.stats.scaling;"
        "heavy = {'lmfit', 'statsmodels', 'matplotlib', 'pandas'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
