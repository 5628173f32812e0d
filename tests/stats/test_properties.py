"""Properties that hold for any data: invariance, symmetry, monotonicity."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

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

settings.register_profile("short", max_examples=40, deadline=None)
settings.load_profile("short")

VALUES = st.floats(1.0, 100.0).map(lambda v: round(v, 3))
SAMPLES = st.lists(VALUES, min_size=3, max_size=12).filter(lambda v: np.std(v) > 0.01)
FACTORS = st.floats(0.01, 100.0)


def near(value, rel=1e-7, abs_=1e-9):
    return pytest.approx(value, rel=rel, abs=abs_)


@given(SAMPLES, SAMPLES, FACTORS, st.floats(-50, 50))
def test_welch_scales_shifts_and_is_antisymmetric(a, b, factor, shift):
    base = compare.welch(a, b)
    moved = compare.welch(factor * np.array(a) + shift, factor * np.array(b) + shift)
    assert moved.p == near(base.p, 1e-5)
    assert moved.diff == near(factor * base.diff, 1e-5, 1e-6)
    swapped = compare.welch(b, a)
    assert (swapped.diff, swapped.p) == (near(-base.diff), near(base.p))
    assert swapped.ci == near((-base.ci[1], -base.ci[0]))


@given(SAMPLES, SAMPLES, FACTORS)
def test_ratio_is_scale_free_and_inverts(a, b, factor):
    base = compare.ratio(a, b)
    assert compare.ratio(factor * np.array(a), factor * np.array(b)).ci == near(base.ci, 1e-5)
    inverse = compare.ratio(b, a)
    assert inverse.ratio == near(1 / base.ratio)
    assert inverse.ci == near((1 / base.ci[1], 1 / base.ci[0]))
    assert base.ci[0] < base.ratio < base.ci[1]


@given(st.lists(SAMPLES, min_size=2, max_size=4), FACTORS, st.floats(-50, 50))
def test_anova_is_invariant(groups, factor, shift):
    base = compare.anova(groups)
    moved = compare.anova([factor * np.array(g) + shift for g in groups])
    assert near(base.F, 1e-5) == moved.F
    assert moved.eta2 == near(base.eta2, 1e-5)
    assert 0 <= base.eta2 <= 1
    assert base.omega2 <= base.eta2


@given(SAMPLES, SAMPLES, FACTORS)
def test_effect_size_is_scale_free_and_g_is_smaller(a, b, factor):
    base = compare.effect_size(a, b)
    assert compare.effect_size(factor * np.array(a), factor * np.array(b)).d == near(base.d, 1e-5)
    assert abs(base.g) <= abs(base.d)
    assert base.ci_d[0] <= base.d <= base.ci_d[1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p):
    adjusted = np.array(compare.holm(p).p_adjusted)
    assert (adjusted >= np.array(p) - 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= -1e-15).all()


@given(SAMPLES, SAMPLES, st.floats(0.5, 50))
def test_tost_is_symmetric_and_easier_for_a_wider_margin(a, b, margin):
    narrow = equivalence.tost(a, b, -margin, margin)
    assert equivalence.tost(a, b, -2 * margin, 2 * margin).p <= narrow.p + 1e-12
    swapped = equivalence.tost(b, a, -margin, margin)
    assert (swapped.p_lower, swapped.p_upper) == (near(narrow.p_upper), near(narrow.p_lower))


@given(st.integers(2, 30), st.floats(0.1, 3), st.floats(0.1, 5))
def test_tost_power_grows_with_blocks_and_margin(n, sd, margin):
    base = equivalence.power(n, sd, margin).power
    if base > 0.2:  # far below, luckily small errors make n = 2 beat n = 3
        assert equivalence.power(n + 1, sd, margin).power >= base - 1e-9
    assert equivalence.power(n, sd, 1.2 * margin).power >= base - 1e-9
    assert equivalence.power(n, sd, margin, delta=0.3).power <= base + 1e-9


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_inside_and_mirrors(counts):
    k, n = counts
    fit, mirror = proportions.wilson(k, n), proportions.wilson(n - k, n)
    assert 0 <= fit.low <= fit.estimate <= fit.high <= 1
    assert fit.low < fit.high
    assert (mirror.low, mirror.high) == (near(1 - fit.high), near(1 - fit.low))


TABLES = st.lists(st.integers(0, 60), min_size=4, max_size=4).filter(lambda t: sum(t) > 0)


@given(TABLES)
def test_mcnemar_is_antisymmetric(cells):
    table = np.array(cells).reshape(2, 2)
    one, other = proportions.mcnemar(table), proportions.mcnemar(table.T)
    assert other.diff == near(-one.diff)
    assert other.p_exact == (None if one.p_exact is None else near(one.p_exact))
    low, high = one.ci_newcombe10
    assert other.ci_newcombe10 == near((-high, -low))
    assert -1 <= low <= one.diff <= high <= 1
    if one.p_exact is not None:
        assert one.p_midp <= one.p_exact + 1e-12


@given(TABLES)
def test_paired_tost_is_antisymmetric_and_its_interval_holds_the_estimate(cells):
    table = np.array(cells).reshape(2, 2)
    one, other = (equivalence.tost_paired_proportions(t, 0.1) for t in (table, table.T))
    assert other.p_lower == near(one.p_upper, 1e-6)
    assert one.ci90[0] <= one.estimate + 1e-9
    assert one.ci90[1] >= one.estimate - 1e-9
    assert one.equivalent is (one.p < 0.05)


@given(SAMPLES, FACTORS, st.floats(-50, 50))
def test_mean_intervals_move_with_the_data(values, factor, shift):
    moved = factor * np.array(values) + shift
    base, other = intervals.mean_of_blocks(values), intervals.mean_of_blocks(moved)
    assert other.ci == near(tuple(factor * np.array(base.ci) + shift), 1e-6, 1e-6)
    boot = intervals.bootstrap_t(values, resamples=999)
    boot_moved = intervals.bootstrap_t(moved, resamples=999)
    assert boot_moved.ci == near(tuple(factor * np.array(boot.ci) + shift), 1e-5, 1e-5)
    assert boot.ci[0] < boot.ci[1]


@given(st.lists(VALUES, min_size=5, max_size=60), st.floats(0.05, 0.95))
def test_quantile_moves_with_monotone_maps_and_keeps_its_promise(values, q):
    fit, mapped = intervals.quantile(values, q), intervals.quantile(np.log(values), q)
    assert mapped.ranks == fit.ranks
    for end, log_end in zip(fit.ci, mapped.ci, strict=True):
        assert (end is None) == (log_end is None)
    if None not in fit.ci:
        assert fit.ci[0] <= fit.estimate <= fit.ci[1]
        assert fit.coverage >= 0.95
        assert fit.reason is None
    else:
        assert fit.reason


@given(st.lists(st.lists(VALUES, min_size=2, max_size=6), min_size=2, max_size=6), FACTORS)
def test_variance_components_scale(data, factor):
    base = blocks.variance_components(data)
    other = blocks.variance_components([factor * np.array(b) for b in data])
    assert other.var_within == near(factor**2 * base.var_within, 1e-5, 1e-7)
    if base.icc is not None and base.var_within > 1e-6:
        assert 0 <= base.icc <= 1
        assert other.icc == near(base.icc, 1e-4, 1e-6)
        assert base.design_effect >= 1


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), FACTORS)
def test_jain_is_scale_free_and_bounded(shares, factor):
    assume(max(shares) > 1e-3)
    base = fairness.jain(shares)
    assert 1 / len(shares) - 1e-9 <= base.index <= 1
    assert fairness.jain(factor * np.array(shares)).index == near(base.index)


@given(st.floats(0.01, 1.5), st.floats(0.1, 1000), st.integers(0, 2**31))
@settings(max_examples=25)
def test_amdahl_does_not_know_the_unit_nor_the_order(s, unit, seed):
    rng = np.random.default_rng(seed)
    n = np.tile([1, 2, 4, 8], 4)
    block = np.repeat(list("abcd"), 4)
    x = 10 / (1 + s * (n - 1)) * np.exp(rng.normal(0, 0.05, 16))
    base = scaling.fit_amdahl(n, x, block)
    order = rng.permutation(16)
    other = scaling.fit_amdahl(n[order], unit * x[order], block[order])
    assert other.s == near(base.s, 1e-6)
    assert other.x1 == near(unit * base.x1, 1e-6)
    assert other.ci_profile == near(base.ci_profile, 1e-5)
    assert base.s >= 0
    assert base.ci_profile[0] <= base.s <= base.ci_profile[1]
    if base.lack_of_fit.p is not None:
        assert 0 <= base.lack_of_fit.p <= 1


@given(st.floats(0.0, 0.8), st.floats(0.0, 0.05), FACTORS)
@settings(max_examples=20)
def test_usl_does_not_know_the_unit(alpha, beta, unit):
    n = np.array([1, 2, 4, 8, 16, 32.0])
    noise = 1 + 0.02 * np.array([1, -1, 0.5, -0.5, 1, -1])
    x = 10 * n / (1 + alpha * (n - 1) + beta * n * (n - 1)) * noise
    for scale in ("linear", "log"):
        base, other = (scaling.fit_usl(n, u * x, scale=scale) for u in (1.0, unit))
        assert base.alpha >= 0
        assert base.beta >= 0
        assert other.gamma == near(unit * base.gamma, 1e-5)
        assert (other.alpha, other.beta) == near((base.alpha, base.beta), 1e-4, 1e-8)


@given(st.lists(VALUES, min_size=8, max_size=25).filter(lambda v: np.std(v) > 0.05), FACTORS)
@settings(max_examples=20)
def test_break_is_scale_free_and_mirrors(values, factor):
    y = np.array(values)
    base = regimes.single_break(y, noise="white")
    other = regimes.single_break(factor * y + 3, noise="white")
    assert other.p == near(base.p, 1e-3, 5e-3)
    assert other.sup_F == near(base.sup_F, 1e-4)
    mirror = regimes.single_break(y[::-1], noise="white")
    assert mirror.sup_F == near(base.sup_F, 1e-6)
    assert base.p >= base.naive_p * 0.5


@given(st.floats(0.0, 0.98), st.floats(0.01, 10), st.floats(0, 2))
def test_queue_laws(rho, service, cv):
    queue = queueing.mg1(service, rho, cv)
    assert pytest.approx(queue.arrival_rate_per_s * queue.W) == queue.L
    assert queueing.mg1(service, min(rho + 0.01, 0.99), cv).Wq >= queue.Wq
    md1 = queueing.md1(service, rho)
    chances = [md1.p_wait_le(t * service) for t in (0, 0.5, 1, 3, 10)]
    assert (np.diff(chances) >= -1e-12).all()
    assert chances[0] == pytest.approx(1 - rho)


@given(st.integers(2, 40), st.floats(0.001, 0.2))
def test_detectable_effect_falls_with_blocks(n, alpha):
    base = power.minimum_detectable(n, alpha)
    assert power.of_t_test(n, base.d, alpha) == near(0.8, 1e-6)
    assert power.minimum_detectable(n + 1, alpha).d < base.d
