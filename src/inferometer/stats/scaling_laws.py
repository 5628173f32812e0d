"""Scaling laws of per-agent throughput, and their least-squares fit on the log scale.

A law gives ``g(N) = log x_N - log x_1``. Its parameters are at least 0: throughput per agent
does not grow when agents share a server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats
from scipy.optimize import brentq, least_squares, minimize_scalar

from inferometer.stats.inputs import Floats
from inferometer.stats.polish import polished
from inferometer.stats.result import Interval

GRID = np.concatenate([[0.0], np.geomspace(1e-9, 1e4, 53)])
LARGEST = 1e6
XTOL, RTOL = 1e-20, 4 * np.finfo(float).eps
"""Roots to the last digit that doubles allow."""


@dataclass(frozen=True)
class Problem:
    """A least-squares problem: residuals (..., m) of parameters (..., p), and a constant part."""

    residuals: Callable[[Floats], Floats]
    constant: float = 0.0

    def rss(self, theta: Floats) -> Floats:
        """Return the sum of squares for parameters of shape (..., p)."""
        return (self.residuals(theta) ** 2).sum(axis=-1) + self.constant


@dataclass(frozen=True)
class Law:
    """One law: its values and its gradient over N for parameters of shape (..., p)."""

    name: str
    parameters: tuple[str, ...]
    log_value: Callable[[Floats, Floats], Floats]
    gradient: Callable[[Floats, Floats], Floats]


def _amdahl(n: Floats, theta: Floats) -> Floats:
    return -np.log1p(theta[..., :1] * (n - 1))


def _amdahl_gradient(n: Floats, theta: Floats) -> Floats:
    return (-(n - 1) / (1 + theta[0] * (n - 1)))[:, None]


def _usl(n: Floats, theta: Floats) -> Floats:
    loss = theta[..., :1] * (n - 1) + theta[..., 1:2] * n * (n - 1)
    return -np.log1p(np.maximum(loss, -1 + 1e-12))


def _usl_gradient(n: Floats, theta: Floats) -> Floats:
    slowed = 1 + theta[0] * (n - 1) + theta[1] * n * (n - 1)
    return np.column_stack([-(n - 1) / slowed, -n * (n - 1) / slowed])


AMDAHL = Law("amdahl", ("s",), _amdahl, _amdahl_gradient)
USL = Law("usl", ("alpha", "beta"), _usl, _usl_gradient)
POWER = Law(
    "power",
    ("exponent",),
    lambda n, theta: -theta[..., :1] * np.log(n),
    lambda n, theta: -np.log(n)[:, None],
)
EXPONENTIAL = Law(
    "exponential",
    ("rate",),
    lambda n, theta: -theta[..., :1] * (n - 1),
    lambda n, theta: -(n - 1)[:, None],
)
LINEAR = Law(
    "linear",
    (),
    lambda n, theta: np.zeros((*theta.shape[:-1], n.size)),
    lambda n, theta: np.zeros((n.size, 0)),
)
LAWS = {law.name: law for law in (LINEAR, AMDAHL, USL, POWER, EXPONENTIAL)}


def minimise(problem: Problem, parameters: int) -> tuple[Floats, float]:
    """Return the least-squares parameters, each at least 0, and their sum of squares.

    Bounds are met exactly: with two parameters the edges are fitted on their own and the inner
    solution counts only when it lies inside and is better.
    """
    if parameters == 0:
        empty = np.empty(0)
        return empty, float(problem.rss(empty))
    if parameters == 1:
        return _polished(problem, 0, lambda v: v[..., None])
    edges = [
        _polished(problem, 0, lambda v: _insert(v, 1, 0.0)),
        _polished(problem, 1, lambda v: _insert(v, 0, 0.0)),
    ]
    best_edge = min(edges, key=lambda edge: edge[1])
    inner = _minimise_inside(problem, [edge[0] for edge in edges])
    if inner is not None and inner[1] < best_edge[1] * (1 - 1e-12):
        return inner
    return best_edge


def profile_interval(
    problem: Problem,
    theta: Floats,
    rss: float,
    index: int,
    se: float | None,
    df: int,
    confidence: float,
) -> tuple[float, float | None]:
    """Return the profile-F interval of one parameter of at least 0.

    The lower end is 0 where the data allow 0; the upper end is None when no value is large enough
    to be refused. Within 2 standard errors of the bound the threshold is that of Feldman and
    Cousins (1998), Phys. Rev. D 57, 3873, sec. IV.B: the plain one would cover up to 97.5 %.
    """
    plain = float(stats.norm.ppf((1 + confidence) / 2))
    unit = rss * float(stats.f.ppf(confidence, 1, df)) / df / plain**2

    def excess(value: float) -> float:
        root = plain if se is None else bounded_root(value / se, confidence)
        return _profiled(problem, theta, index, value) - rss - unit * root**2

    estimate = float(theta[index])
    low = float(brentq(excess, 0.0, estimate, xtol=XTOL, rtol=RTOL)) if excess(0.0) > 0 else 0.0
    step = max(0.25 * estimate, 1e-4)
    high = estimate + step
    while excess(high) < 0:
        step *= 2
        high += step
        if high > LARGEST:
            return low, None
    start = high - step if high - step > estimate else estimate
    return low, float(brentq(excess, start, high, xtol=XTOL, rtol=RTOL))


def bounded_root(mu: float, confidence: float) -> float:
    """Return the critical |z| for a normal mean `mu` >= 0 estimated as max(z, 0).

    It rises from the one-sided to the two-sided quantile, which it reaches at mu equal to it.
    """
    one_sided, two_sided = stats.norm.ppf([max(confidence, 0.5), (1 + confidence) / 2])
    if mu >= two_sided:
        return float(two_sided)
    if mu <= 0:
        return float(one_sided)

    def missed(root: float) -> float:
        lowest = mu - root if mu > root else (mu * mu - root * root) / (2 * mu)
        return float(special.ndtr(-root) + special.ndtr(lowest - mu)) - (1 - confidence)

    if missed(one_sided) <= 0:
        return float(one_sided)
    return float(brentq(missed, one_sided, two_sided + 1e-9, xtol=1e-9))


def covariance(gradient: Floats, free: Any, variance: float) -> Floats | None:
    """Return the covariance of the free parameters, 0 for the others; None when singular."""
    full = np.zeros((len(free), len(free)))
    chosen = gradient[:, free]
    normal = chosen.T @ chosen
    if normal.size:
        if np.linalg.cond(normal) > 1e14:
            return None
        full[np.ix_(free, free)] = np.linalg.inv(normal) * variance
    return full


def t_interval(estimate: float, se: float, df: float, confidence: float) -> Interval:
    """Return Student's interval around an estimate."""
    half = float(stats.t.ppf((1 + confidence) / 2, df)) * se
    return estimate - half, estimate + half


def _minimise_one(objective: Callable[[Floats], Floats]) -> tuple[float, float]:
    """Minimise over one parameter of at least 0: a grid, then Brent inside its best bracket."""
    values = objective(GRID)
    best = int(np.argmin(values))
    low, high = GRID[max(best - 1, 0)], GRID[min(best + 1, GRID.size - 1)]
    found = minimize_scalar(
        lambda v: float(objective(np.array(v))),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-10 * high},
    )
    if low == 0 and values[0] <= found.fun:
        return 0.0, float(values[0])
    return float(found.x), float(found.fun)


def _polished(
    problem: Problem, index: int, place: Callable[[Floats], Floats]
) -> tuple[Floats, float]:
    """Minimise over one parameter and polish it to machine precision when it is above 0."""
    value, rss = _minimise_one(lambda v: problem.rss(place(v)))
    theta = place(np.array(value))
    if value == 0:
        return theta, rss
    finer, finer_rss = _levenberg(problem, lambda u: place(u[0]), np.log([theta[index]]))
    return (finer, finer_rss) if finer_rss <= rss * (1 + 1e-12) else (theta, rss)


def _minimise_inside(problem: Problem, starts: list[Floats]) -> tuple[Floats, float] | None:
    """Minimise over two parameters above 0 on their logarithms; None when they run to 0."""
    trials = [*starts, starts[0] / 2 + starts[1] / 2]
    fits = [_levenberg(problem, lambda u: u, np.log(np.maximum(t, 1e-6))) for t in trials]
    theta, rss = min(fits, key=lambda fit: fit[1])
    return (theta, rss) if (theta > 1e-12).all() else None


def _levenberg(
    problem: Problem, place: Callable[[Floats], Floats], start: Floats
) -> tuple[Floats, float]:
    """Run Levenberg-Marquardt on log parameters from one start, and polish where it ends."""

    def parameters(u: Floats) -> Floats:
        return place(np.exp(np.clip(u, -60, 20)))

    def residuals(u: Floats) -> Floats:
        return problem.residuals(parameters(u))

    fit = least_squares(
        residuals,
        start,
        method="lm",
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    )
    finer = polished(residuals, fit.x)
    theta = parameters(fit.x if finer is None else finer[0])
    return theta, float(problem.rss(theta))


def _profiled(problem: Problem, theta: Floats, index: int, value: float) -> float:
    if theta.size == 1:
        return float(problem.rss(np.array([value])))
    return _minimise_one(lambda v: problem.rss(_insert(v, index, value)))[1]


def _insert(values: Floats, index: int, fixed: float) -> Floats:
    """Return (..., 2) parameters with `fixed` at `index` and `values` at the other place."""
    held = np.full(np.shape(values), fixed)
    pair = (held, values) if index == 0 else (values, held)
    return np.stack(pair, axis=-1)
