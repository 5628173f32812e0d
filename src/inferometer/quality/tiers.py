"""Tiers of quality lost against a baseline, and the compatibility matrix, from intervals.

A tier is given only if the whole interval of the difference lies inside it; otherwise it is
"undecided", with the tiers that the interval touches. Differences are level minus baseline, in
percentage points (pp).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

Ends = tuple[float | None, float | None]
Outcome = Literal["pass", "fail", "undecided"]
UNDECIDED = "undecided"
NO_INTERVAL = "the difference has no interval"


@dataclass(frozen=True)
class Bound:
    """A tier: differences of at least `least_pp`, up to the bound of the tier before it."""

    tier: str
    least_pp: float
    source: str


PUBLISHED = "Chimeraforge TR125, as its design gives it"
BOUNDS = (
    Bound("negligible", -3.0, PUBLISHED),
    Bound("acceptable", -5.0, PUBLISHED),
    Bound("concerning", -10.0, PUBLISHED),
    Bound("unacceptable", -inf, PUBLISHED),
)
"""From the best tier to the worst; the last has no lower bound."""

PASS = Bound("acceptable", -5.0, "Chimeraforge TR123-TR133, appendix P.3: within -5 pp passes")
"""A level is compatible with a model if it loses no more than this on every benchmark."""


@dataclass(frozen=True)
class Tier:
    """The tier of a difference, or "undecided" and the tiers that its interval touches.

    `ends_pp` is the interval judged; an open end is None.
    """

    tier: str
    touches: tuple[str, ...]
    ends_pp: Ends | None
    reason: str | None = None


@dataclass(frozen=True)
class Cell:
    """Whether a level is compatible with a model, by which benchmarks, and why not known."""

    outcome: Outcome
    by_benchmark: dict[str, Outcome]
    reason: str | None = None


def tier(ends_pp: Ends | None, bounds: Sequence[Bound] = BOUNDS) -> Tier:
    """Give the tier that holds the whole interval of a difference.

    Parameters
    ----------
    ends_pp : low and high of the interval in pp; an end that the data leave open is None. None
        for a difference without an interval, which touches every tier.
    bounds : tiers from the best to the worst, the last open below.

    Returns
    -------
    Tier
        A bound belongs to the better of its two tiers.

    Raises
    ------
    ValueError
        An interval upside down or not a number; bounds that do not descend or leave a gap below.
    """
    _check(bounds)
    if ends_pp is None:
        return Tier(UNDECIDED, tuple(bound.tier for bound in bounds), None, NO_INTERVAL)
    low, high = _closed(ends_pp)
    touched = []
    above = inf
    for bound in bounds:
        if high >= bound.least_pp and low < above:
            touched.append(bound.tier)
        above = bound.least_pp
    if len(touched) == 1:
        return Tier(touched[0], tuple(touched), ends_pp)
    return Tier(UNDECIDED, tuple(touched), ends_pp, f"the interval touches {', '.join(touched)}")


def worst(ends_pp: Sequence[Ends | None]) -> Ends | None:
    """Interval of the least of several differences, such as those of a level's benchmarks.

    The ends are the least of the ends, so it covers the least difference wherever the intervals
    cover theirs together: give simultaneous ones (Bonferroni). None where one has no interval.
    Raises ValueError without differences.
    """
    if not ends_pp:
        raise ValueError("ends_pp: needs at least 1 interval")
    known = [_closed(ends) for ends in ends_pp if ends is not None]
    if len(known) < len(ends_pp):
        return None
    low, high = (min(ends[side] for ends in known) for side in (0, 1))
    return (None if low == -inf else low, None if high == inf else high)


def at_least(ends: Ends | None, bound: float) -> Outcome:
    """Whether a whole interval lies at or above a bound (pass), below it (fail), or across."""
    if ends is None:
        return "undecided"
    low, high = _closed(ends)
    return "pass" if low >= bound else "fail" if high < bound else "undecided"


def at_most(ends: Ends | None, bound: float) -> Outcome:
    """Whether a whole interval lies at or below a bound (pass), above it (fail), or across."""
    if ends is None:
        return "undecided"
    low, high = _closed(ends)
    return "pass" if high <= bound else "fail" if low > bound else "undecided"


def overall(outcomes: Sequence[Outcome]) -> Outcome:
    """Fail if one fails, pass if all pass, else undecided; nothing at all is undecided."""
    if "fail" in outcomes:
        return "fail"
    return "pass" if outcomes and all(one == "pass" for one in outcomes) else "undecided"


def compatibility(
    differences_pp: Mapping[tuple[str, str], Mapping[str, Ends | None]], bound: Bound = PASS
) -> dict[tuple[str, str], Cell]:
    """The compatibility matrix: pass, fail or undecided by model and level.

    Parameters
    ----------
    differences_pp : (model, level) -> benchmark -> interval of the difference from the baseline
        in pp, None where it has none. All of a level should hold together (Bonferroni).
    bound : the least difference that passes.

    Returns
    -------
    dict
        The same keys, in the same order. A level passes if it passes on every benchmark, and
        fails if it fails on one.

    Raises
    ------
    ValueError
        An interval upside down or not a number.
    """
    matrix = {}
    for key, by_benchmark in differences_pp.items():
        found = {name: at_least(ends, bound.least_pp) for name, ends in by_benchmark.items()}
        outcome = overall(list(found.values()))
        reason = _why_open(by_benchmark, found, bound) if outcome == "undecided" else None
        matrix[key] = Cell(outcome, found, reason)
    return matrix


def _why_open(
    by_benchmark: Mapping[str, Ends | None], found: Mapping[str, Outcome], bound: Bound
) -> str:
    if not found:
        return "no findings"
    open_ = [name for name, outcome in found.items() if outcome == "undecided"]
    without = [name for name in open_ if by_benchmark[name] is None]
    across = [name for name in open_ if name not in without]
    words = [f"the interval crosses {bound.least_pp:g} pp: {', '.join(across)}"] if across else []
    return "; ".join([*words, f"no interval: {', '.join(without)}"] if without else words)


def _closed(ends: Ends) -> tuple[float, float]:
    low = -inf if ends[0] is None else ends[0]
    high = inf if ends[1] is None else ends[1]
    if not low <= high:
        raise ValueError(f"interval: low <= high is needed, got {low:g} and {high:g}")
    return low, high


def _check(bounds: Sequence[Bound]) -> None:
    limits = [bound.least_pp for bound in bounds]
    if not limits or limits[-1] != -inf or sorted(set(limits), reverse=True) != limits:
        raise ValueError("bounds: must descend and end with one that is open below (-inf)")
