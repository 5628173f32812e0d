"""The result that every equivalence test returns."""

from __future__ import annotations

from dataclasses import dataclass

from inferometer.stats.result import Interval, Result

ALPHA = 0.05
"""Level of `Equivalence.equivalent`; its 90 % interval is the same decision drawn."""


@dataclass(frozen=True, repr=False)
class Equivalence(Result):
    """Two one-sided tests against the margins `low` and `upp`, on the scale named by `scale`.

    ``p = max(p_lower, p_upper)``; `equivalent` is ``p < .05``, which is to say that `ci90` lies
    inside the margins. `equivalent` False means "not shown", never "different".
    `supported` is the narrowest symmetric margin these data would have supported: a distance
    from 0, or, on the ratio scale, a factor above 1 (margins ``1/supported`` to ``supported``).
    """

    estimate: float
    df: float | None
    p_lower: float | None
    p_upper: float | None
    p: float | None
    ci90: Interval | None
    equivalent: bool | None
    low: float
    upp: float
    supported: float | None
    scale: str
    reason: str | None = None
