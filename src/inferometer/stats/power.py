"""What a design can detect, before it is run."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, exp, sqrt

from scipy import stats
from scipy.optimize import brentq

from inferometer.stats import inputs
from inferometer.stats.effect import noncentral_t_cdf
from inferometer.stats.result import Result

RANK_TESTS = ("sign", "signed-rank", "mann-whitney", "mcnemar")


@dataclass(frozen=True, repr=False)
class DetectableEffect(Result):
    """Smallest true effect found with the wanted power.

    `d` is in standard deviations of one block value (of one difference when paired); `ratio` is
    the same as a ratio of means, for the block CV that was given.
    """

    d: float
    power: float
    n: int
    df: int
    alpha: float
    paired: bool
    ratio: float | None = None
    reason: str | None = None

    def __float__(self) -> float:
        return self.d


@dataclass(frozen=True, repr=False)
class SmallestP(Result):
    """Smallest two-sided p-value that an exact test can give, whatever the data."""

    p: float
    test: str
    n: int
    reachable: bool
    alpha: float

    def __float__(self) -> float:
        return self.p


def of_t_test(n: int, d: float, alpha: float = 0.05, paired: bool = False) -> float:
    """Return the power of a two-sided t test.

    Parameters
    ----------
    n : blocks on each side (pairs when `paired`), at least 2.
    d : true difference in standard deviations of one value (of one difference when paired).

    Returns
    -------
    float
        Probability of rejection in either tail.

    Raises
    ------
    ValueError
        `n` below 2; `alpha` outside (0, 1); a non-finite `d`.

    Notes
    -----
    Noncentral t: Cohen (1988), sec. 12.8.
    """
    blocks = inputs.whole("n", n, 2)
    effect, level = inputs.number("d", d), inputs.fraction("alpha", alpha)
    df, ncp = _noncentrality(blocks, abs(effect), paired)
    critical = float(stats.t.ppf(1 - level / 2, df))
    return 1 - noncentral_t_cdf(critical, df, ncp) + noncentral_t_cdf(-critical, df, ncp)


def minimum_detectable(
    n: int, alpha: float = 0.05, power: float = 0.8, paired: bool = False, cv: float | None = None
) -> DetectableEffect:
    """Give the smallest effect that a two-sided t test finds with the wanted power.

    Parameters
    ----------
    n : blocks on each side (pairs when `paired`), at least 2.
    alpha, power : level of the test and wanted power, ``alpha < power < 1``. For a family of m
        tests pass ``alpha / m``, which is what Holm's first step asks.
    cv : coefficient of variation of block values; gives `ratio` as ``exp(d * sd(log))``.

    Returns
    -------
    DetectableEffect
        The power is evaluated again at the answer; the solution is refused if it misses.

    Raises
    ------
    ValueError
        Arguments outside these ranges.

    Notes
    -----
    Noncentral t: Cohen (1988), sec. 12.8.
    """
    blocks = inputs.whole("n", n, 2)
    level, wanted = inputs.fraction("alpha", alpha), inputs.fraction("power", power)
    if wanted <= level:
        raise ValueError(f"power: must exceed alpha ({wanted:g} <= {level:g})")
    high = 1.0
    while of_t_test(blocks, high, level, paired) < wanted:
        high *= 2
    d = float(brentq(lambda e: of_t_test(blocks, e, level, paired) - wanted, 0.0, high, xtol=1e-13))
    reached = of_t_test(blocks, d, level, paired)
    if abs(reached - wanted) > 1e-6:
        raise ArithmeticError("minimum_detectable: the solution does not reach the wanted power")
    df, _ = _noncentrality(blocks, d, paired)
    design = (blocks, df, level, paired)
    if cv is None:
        return DetectableEffect(d, reached, *design, reason="no block CV given, so no ratio")
    ratio = exp(d * inputs.number("cv", cv, above=0))
    return DetectableEffect(d, reached, *design, ratio=ratio)


def smallest_p(test: str, n: int, alpha: float = 0.05, n2: int | None = None) -> SmallestP:
    """Say whether an exact test of this size can reach `alpha` at all.

    Parameters
    ----------
    test : "sign" or "mcnemar" (n = untied pairs, discordant items), "signed-rank" (n = pairs),
        or "mann-whitney" (n and n2 = the two sample sizes; n2 defaults to n).
    alpha : the level needed, after the family's adjustment.

    Returns
    -------
    SmallestP
        A test that is not `reachable` is not run.

    Raises
    ------
    ValueError
        An unknown test; sizes below 1.

    Notes
    -----
    Counting of arrangements: Lehmann (1975), Nonparametrics, secs. 1.2 and 3.2.
    """
    kind = inputs.choice("test", test, RANK_TESTS)
    first = inputs.whole("n", n, 1)
    level = inputs.fraction("alpha", alpha)
    if kind == "mann-whitney":
        second = first if n2 is None else inputs.whole("n2", n2, 1)
        p = min(1.0, 2 / comb(first + second, first))
    else:
        p = min(1.0, 2 * 0.5**first)
    return SmallestP(p, kind, first, p <= level, level)


def _noncentrality(n: int, d: float, paired: bool) -> tuple[int, float]:
    return (n - 1, d * sqrt(n)) if paired else (2 * (n - 1), d * sqrt(n / 2))
