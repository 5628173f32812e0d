"""Closed forms and agreement of two independent routes to one number."""

from math import exp, factorial, floor

import numpy as np
import pytest
from scipy import stats

from inferometer.stats import (
    blocks,
    compare,
    equivalence,
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


def random(seed=0):
    return np.random.default_rng(seed)


def test_welch_agrees_with_scipy():
    a, b = random().normal(3, 1, 9), random(1).normal(2, 4, 6)
    ours, theirs = compare.welch(a, b), stats.ttest_ind(a, b, equal_var=False)
    ci = theirs.confidence_interval()
    assert (ours.t, ours.p, ours.df) == pytest.approx(
        (theirs.statistic, theirs.pvalue, theirs.df), rel=1e-12
    )
    assert ours.ci == pytest.approx((ci.low, ci.high), rel=1e-12)


def test_holm_agrees_with_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = random().uniform(0, 0.2, 25)
    p[3] = p[7]
    reject, adjusted, _, _ = multipletests(p, alpha=0.3, method="holm")
    fit = compare.holm(p, alpha=0.3)
    assert fit.p_adjusted == pytest.approx(adjusted, rel=1e-12)
    assert fit.reject == tuple(reject)


def test_paired_agrees_with_scipy():
    a, b = random().normal(3, 1, 9), random(1).normal(2, 1, 9)
    theirs = stats.ttest_rel(a, b)
    assert compare.paired(a, b).p == pytest.approx(theirs.pvalue, rel=1e-12)


def test_anova_of_two_groups_is_the_squared_t():
    a, b = random().normal(3, 1, 9), random(1).normal(2, 1, 6)
    pooled = stats.ttest_ind(a, b)
    assert pytest.approx(pooled.statistic**2, rel=1e-10) == compare.anova([a, b]).F
    assert compare.anova([a, b]).welch_p == pytest.approx(compare.welch(a, b).p, rel=1e-10)


def test_effect_size_interval_inverts_the_noncentral_t():
    a, b = random().normal(3, 1, 7), random(1).normal(2, 1, 8)
    fit = compare.effect_size(a, b)
    scale = np.sqrt(1 / 7 + 1 / 8)
    tails = [stats.nct.cdf(fit.d / scale, 13, end / scale) for end in fit.ci_d]
    assert tails == pytest.approx([0.975, 0.025], abs=1e-9)
    assert fit.g == pytest.approx(fit.d * (1 - 3 / (4 * 13 - 1)), rel=1e-3)


def test_tost_is_the_90_percent_interval_inside_the_margin():
    a, b = random().normal(100, 2, 7), random(1).normal(100.5, 2, 7)
    fit = equivalence.tost(a, b, -3, 3)
    inside = fit.ci90[0] > -3 and fit.ci90[1] < 3
    assert fit.equivalent is inside
    edge = equivalence.tost(a, b, -fit.supported, fit.supported)
    assert edge.p == pytest.approx(0.05, abs=1e-9)


def test_tost_ratio_is_tost_of_logs():
    a, b = random().lognormal(2, 0.1, 7), random(1).lognormal(2, 0.1, 9)
    ratio = equivalence.tost(a, b, 0.9, 1 / 0.9, scale="ratio")
    logs = equivalence.tost(np.log(a), np.log(b), np.log(0.9), -np.log(0.9))
    assert ratio.p == pytest.approx(logs.p, rel=1e-12)
    assert ratio.ci90 == pytest.approx(np.exp(logs.ci90), rel=1e-12)


def test_tost_power_by_simulation():
    rng, runs = random(3), 4000
    a, b = rng.normal(0, 1, (runs, 8)), rng.normal(0, 1, (runs, 8))
    se = np.sqrt(a.var(axis=1, ddof=1) / 8 + b.var(axis=1, ddof=1) / 8)
    reach = np.abs(a.mean(axis=1) - b.mean(axis=1)) + stats.t.ppf(0.95, 14) * se
    expected = equivalence.power(8, sd=1, margin=1.5).power
    assert (reach < 1.5).mean() == pytest.approx(expected, abs=0.03)


def test_supported_margin_inverts_power():
    fit = equivalence.supported_margin(7, sd=0.02)
    assert equivalence.power(7, 0.02, fit.margin).power == pytest.approx(0.8, abs=1e-8)


def test_farrington_manning_restricted_estimate_by_brute_force():
    """At the margin the score uses the likelihood's maximum on p1 - p2 = -0.1."""
    from scipy.optimize import minimize_scalar

    def unlikely(p):
        return -(80 * np.log(p) + 20 * np.log1p(-p) + 82 * np.log(p + 0.1) + 18 * np.log(0.9 - p))

    p = minimize_scalar(unlikely, bounds=(0.01, 0.89), method="bounded", options={"xatol": 1e-12}).x
    z = 0.08 / np.sqrt(p * (1 - p) / 100 + (p + 0.1) * (0.9 - p) / 100)
    assert equivalence.tost_proportions(80, 100, 82, 100, 0.1).p == pytest.approx(
        stats.norm.sf(z), rel=1e-6
    )


def test_paired_tost_at_zero_margin_is_mcnemar():
    table = [[40, 12], [5, 20]]
    narrow = equivalence.tost_paired_proportions(table, 1e-9)
    assert stats.norm.isf(narrow.p_lower) ** 2 == pytest.approx(
        proportions.mcnemar(table).chi2, rel=1e-6
    )


def test_midp_is_between_exact_and_half_point():
    fit = proportions.mcnemar([[10, 9], [3, 10]])
    point = stats.binom.pmf(3, 12, 0.5)
    assert fit.p_midp == pytest.approx(fit.p_exact - point)
    assert proportions.mcnemar([[10, 4], [4, 10]]).p_midp == pytest.approx(
        1 - stats.binom.pmf(4, 8, 0.5) / 2
    )


def test_clustered_mean_of_single_items_is_the_ordinary_error():
    values = random().integers(0, 2, 50)
    fit = proportions.clustered_mean(values, range(50))
    assert fit.se == pytest.approx(fit.naive_se, rel=1e-12)


def test_variance_components_agree_with_mixed_model():
    data = random(5).normal(size=(12, 1)) + random(6).normal(size=(12, 20))
    fit = blocks.variance_components(data)
    import statsmodels.formula.api as smf
    from pandas import DataFrame

    frame = DataFrame({"y": data.ravel(), "block": np.repeat(np.arange(12), 20)})
    model = smf.mixedlm("y ~ 1", frame, groups="block").fit()
    assert fit.var_within == pytest.approx(model.scale, rel=1e-4)
    assert fit.var_between == pytest.approx(float(model.cov_re.iloc[0, 0]), rel=1e-3)


def test_comparison_shows_how_narrow_pooling_is():
    shared = random(1).normal(0, 0.1, (2, 7, 1))
    a, b = np.exp(shared + random(2).normal(0, 0.1, (2, 7, 100)))
    fit = blocks.comparison(a, b)
    assert fit.ratio == compare.ratio(a.mean(axis=1), b.mean(axis=1))
    assert fit.width_ratio < 0.3
    assert fit.a.icc == blocks.variance_components(a).icc


def test_quantile_coverage_counts():
    fit = intervals.quantile(np.arange(100), 0.5)
    low, high = fit.ranks
    assert fit.coverage == pytest.approx(
        sum(stats.binom.pmf(k, 100, 0.5) for k in range(low, high)), rel=1e-12
    )


def test_minimum_detectable_agrees_with_simulation():
    fit = power.minimum_detectable(7)
    rng = random(1)
    a, b = rng.normal(fit.d, 1, (4000, 7)), rng.normal(0, 1, (4000, 7))
    assert (stats.ttest_ind(a, b, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.03)


def test_smallest_p_of_rank_tests():
    assert power.smallest_p("signed-rank", 5).p == 0.0625
    assert not power.smallest_p("signed-rank", 5).reachable
    exact = stats.mannwhitneyu([1, 2, 3], [4, 5, 6], method="exact").pvalue
    assert power.smallest_p("mann-whitney", 3).p == pytest.approx(exact)


@pytest.mark.parametrize("s", [0.05, 0.45, 0.9, 1.2])
def test_amdahl_recovers_exact_curves(s):
    n = np.array([1, 2, 4, 8, 16])
    fit = scaling.fit_amdahl(n, 37 / (1 + s * (n - 1)))
    assert (fit.s, fit.x1) == pytest.approx((s, 37), rel=1e-9)
    assert fit.ci_profile is None
    assert "exactly" in fit.reason


def amdahl_data(s=0.3, cv=0.03, seed=0, blocks_n=7):
    rng, n = random(seed), np.tile([1, 2, 3, 4, 6, 8], blocks_n)
    block = np.repeat(np.arange(blocks_n), 6)
    shared = rng.normal(0, 0.1, blocks_n)[block]
    x = 20 / (1 + s * (n - 1)) * np.exp(shared + rng.normal(0, cv, n.size))
    return n, x, block


def test_amdahl_agrees_with_lmfit_profile():
    import lmfit

    n, x, _ = amdahl_data()
    fit = scaling.fit_amdahl(n, x)
    parameters = lmfit.create_params(c={"value": 3.0}, s={"value": 0.3, "min": 1e-9})

    def residual(p):
        return np.log(x) - p["c"] + np.log1p(p["s"] * (n - 1))

    mini = lmfit.Minimizer(residual, parameters)
    out = mini.minimize(xtol=1e-12, ftol=1e-12)
    ends = lmfit.conf_interval(mini, out, p_names=["s"], sigmas=[0.95])["s"]
    assert fit.s == pytest.approx(out.params["s"].value, rel=1e-6)
    assert fit.se_s == pytest.approx(out.params["s"].stderr, rel=1e-3)
    assert fit.ci_profile == pytest.approx((ends[0][1], ends[2][1]), rel=1e-3)


def test_amdahl_with_blocks_agrees_with_dummy_regression():
    n, x, block = amdahl_data()
    fit = scaling.fit_amdahl(n, x, block)
    from scipy.optimize import least_squares

    def residual(theta):
        return np.log(x) - theta[1:][block] + np.log1p(theta[0] * (n - 1))

    out = least_squares(residual, np.r_[0.5, np.full(7, 3.0)], xtol=1e-14, ftol=1e-14)
    df = n.size - 8
    spread = np.linalg.inv(out.jac.T @ out.jac) * 2 * out.cost / df
    assert fit.s == pytest.approx(out.x[0], rel=1e-6)
    assert fit.se_s == pytest.approx(np.sqrt(spread[0, 0]), rel=1e-5)
    assert fit.rss == pytest.approx(2 * out.cost, rel=1e-9)
    assert fit.df == df


@pytest.mark.parametrize("mu", [0.0, 0.4, 1.0, 1.7, 3.0])
def test_bounded_threshold_covers_what_it_says(mu):
    from inferometer.stats.scaling_laws import bounded_root

    z = mu + random(3).normal(size=200_000)
    distance = (z - mu) ** 2 - np.minimum(z, 0) ** 2
    covered = (distance <= bounded_root(mu, 0.95) ** 2 + 1e-12).mean()
    assert covered == pytest.approx(0.95, abs=0.002)


def test_lack_of_fit_without_blocks_is_the_textbook_f():
    n, x, _ = amdahl_data()
    fit = scaling.fit_amdahl(n, x)
    y = np.log(x)
    pure = sum(((y[n == k] - y[n == k].mean()) ** 2).sum() for k in np.unique(n))
    expected = ((fit.rss - pure) / 4) / (pure / (n.size - 6))
    assert pytest.approx(expected, rel=1e-9) == fit.lack_of_fit.F
    assert fit.lack_of_fit.df == (4, n.size - 6)


def test_usl_log_scale_meets_amdahl_when_beta_is_0():
    n, x, block = amdahl_data(s=0.4, seed=4)
    usl = scaling.fit_usl(n, n * x, scale="log", block=block)
    amdahl = scaling.fit_amdahl(n, x, block)
    assert usl.rss <= amdahl.rss * (1 + 1e-12)
    if usl.beta == 0:
        assert usl.alpha == pytest.approx(amdahl.s, rel=1e-8)
        assert usl.ci["beta"] is None
        assert usl.ci_profile["beta"][0] == 0


def test_usl_agrees_with_curve_fit():
    n, x = np.array([1, 4, 8, 12, 16, 20.0]), np.array([20, 78, 130, 170, 190, 200.0])
    fit = scaling.fit_usl(n, x)
    direct = scaling.fit_curve(
        lambda v, g, a, b: g * v / (1 + a * (v - 1) + b * v * (v - 1)), n, x, [[20, 0.02, 0.001]]
    )
    assert direct.parameters == pytest.approx((fit.gamma, fit.alpha, fit.beta), rel=1e-6)
    assert direct.se == pytest.approx(tuple(fit.se.values()), rel=1e-5)


def test_select_finds_the_law_that_made_the_records():
    n, x, block = amdahl_data(s=0.5, seed=2)
    table = scaling.select(n, x, block)
    assert table.best == "amdahl"
    assert sum(row.weight for row in table.rows) == pytest.approx(1)
    fit = scaling.fit_amdahl(n, x, block)
    assert table.rows[0].aicc == pytest.approx(fit.aicc)


def test_saturation_of_an_exact_curve():
    n, x, block = amdahl_data(s=0.25, cv=1e-4)
    fit = scaling.saturation(n, x, block)
    assert fit.crossing == pytest.approx(5, rel=1e-3)
    assert fit.n_share == pytest.approx(27, rel=1e-2)
    assert fit.n_share_extrapolated
    assert fit.n_star in (5, 6)
    assert fit.crossing_ci[0] < fit.crossing < fit.crossing_ci[1]
    assert fit.measured_n_star == 6


def test_power_law_loglog_is_linear_regression():
    rng = random(0)
    x = rng.uniform(1, 50, 40)
    y = 3 * x**1.4 * np.exp(rng.normal(0, 0.1, 40))
    fit = scaling.fit_power_law(x, y).loglog
    line = stats.linregress(np.log(x), np.log(y))
    assert (fit.b, fit.se_b) == pytest.approx((line.slope, line.stderr), rel=1e-10)
    half = stats.t.ppf(0.975, 38) * line.intercept_stderr
    assert fit.ci_a == pytest.approx(np.exp([line.intercept - half, line.intercept + half]))


def test_break_statistics_agree_with_direct_f():
    y = random(1).normal(size=30)
    fit = regimes.single_break(y, min_segment=5)
    direct = [regimes.fixed_break(y, k).F for k in range(5, 26)]
    assert fit.sup_F == pytest.approx(max(direct), rel=1e-10)
    x = np.arange(30.0) ** 1.5
    fit = regimes.single_break(y, x, min_segment=5)
    direct = [2 * regimes.fixed_break(y, k, x).F for k in range(5, 26)]
    assert fit.sup_F == pytest.approx(max(direct), rel=1e-8)


def test_segments_find_levels_of_any_unit():
    y = np.r_[np.zeros(50), np.full(50, 8.0), np.full(50, 3.0)] + random(0).normal(size=150)
    for unit in (1e-6, 1.0, 1e6):
        assert regimes.segments(unit * y).starts == (0, 50, 100)


@pytest.mark.parametrize("rho", [0.3, 0.8, 0.95])
def test_md1_wait_distribution_by_erlangs_alternating_sum(rho):
    queue = queueing.md1(2.0, rho)
    for t in (0.2, 2.0, 5.0, 12.6):
        u = t / 2
        terms = [
            (rho * (k - u)) ** k / factorial(k) * exp(-rho * (k - u)) for k in range(floor(u) + 1)
        ]
        assert queue.p_wait_le(t) == pytest.approx((1 - rho) * sum(terms), rel=1e-9)
    grid = np.linspace(0, 400, 8001)
    mean = np.trapezoid([1 - queue.p_wait_le(t) for t in grid], grid)
    assert mean == pytest.approx(queue.Wq, rel=0.01)


def test_mg1_with_cv_1_is_mm1_and_little_holds():
    queue = queueing.mg1(0.5, 0.6, 1.0)
    assert pytest.approx(0.6 / 0.4) == queue.L
    assert pytest.approx(queue.arrival_rate_per_s * queue.Wq) == queue.Lq
    assert queueing.mg1(0.5, 0.6, 0.5).p_wait_le(1.0) is None


def test_queue_check_tells_poisson_from_a_closed_loop():
    rng = random(0)
    service = rng.normal(0.5, 0.01, 400)
    assert queueing.check(np.cumsum(rng.exponential(1, 400)), service).use == "md1"
    regular = queueing.check(np.cumsum(rng.normal(1, 0.05, 400)), service)
    assert regular.use is None
    assert "not exponential" in regular.reason


def test_mser5_cuts_the_transient():
    x = random(0).normal(10, 0.2, 1000)
    x[:100] += 3
    fit = series.warmup_mser5(x)
    assert 95 <= fit.cut <= 130
    rising = series.warmup_mser5(np.arange(200.0))
    assert rising.cut is None
    assert rising.reason


@pytest.mark.parametrize(
    ("early", "late", "kind"),
    [(0, 0, "flat"), (5, 0, "warm-up"), (-3, 0, "slow-down")],
)
def test_classify(early, late, kind):
    x = random(0).normal(10, 0.1, 400)
    x[:100] += early
    x[-1:] += late
    assert series.classify(x).kind == kind


def test_classify_no_steady_state():
    x = random(0).normal(10, 0.1, 400)
    x[350:] += 5
    fit = series.classify(x)
    assert fit.kind == "no steady state"
    assert fit.steady_from is None


def test_ess_of_ar1():
    rng, phi, n = random(0), 0.6, 50_000
    x = np.empty(n)
    x[0] = 0
    for i, e in enumerate(rng.normal(size=n - 1)):
        x[i + 1] = phi * x[i] + e
    fit = series.autocorrelation(x)
    assert fit.r1 == pytest.approx(phi, abs=0.02)
    assert fit.ess / n == pytest.approx((1 - phi) / (1 + phi), rel=0.1)


def test_holdout_scores():
    fit = validation.holdout([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], train_mean=2.0)
    assert fit.rmse == pytest.approx(np.sqrt(1.25 / 3))
    assert fit.mae == pytest.approx(0.5)
    assert fit.mape == pytest.approx((0.5 + 0.25) / 3)
    assert fit.r2_oos == pytest.approx(1 - 1.25 / 5)
    assert fit.r2 == pytest.approx(1 - 1.25 / np.sum((np.array([1, 2, 4]) - 7 / 3) ** 2))


def test_leave_one_out_never_shares_a_configuration():
    models = ["a", "b", "a", "c"]
    held = {}
    for name, train, test in validation.leave_one_out(models):
        held[name] = test.tolist()
        assert not {models[i] for i in train} & {models[i] for i in test}
    assert held == {"a": [0, 2], "b": [1], "c": [3]}


def test_pareto_small():
    points = [
        {"cost": 1, "quality": 1},
        {"cost": 2, "quality": 3},
        {"cost": 3, "quality": 2},
        {"cost": 2, "quality": 3},
    ]
    assert pareto.frontier(points, ["cost"], ["quality"]).indices == (0, 1, 3)


@pytest.mark.parametrize("objectives", [2, 3])
def test_pareto_by_brute_force(objectives):
    points = random(0).integers(0, 12, (150, objectives)).astype(float)
    slow = tuple(
        i for i, p in enumerate(points) if not any((q <= p).all() and (q < p).any() for q in points)
    )
    assert pareto.frontier(points, range(objectives)).indices == slow
