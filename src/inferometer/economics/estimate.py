"""A number derived from blocks: its interval, or the reason why it has none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from inferometer.stats import compare
from inferometer.stats.inputs import MIN_BLOCKS
from inferometer.stats.intervals import CONSTANT, mean_of_blocks

Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class Estimate:
    """A value with its unit, its interval and the number of blocks behind it.

    `value` is `None` where the quantity is undefined, `ci` where it has no interval; `reason` says
    why in both cases. An end of `ci` that the data leave open is `None`. `note` is a caution that
    belongs beside the number.
    """

    value: float | None
    unit: str
    ci: Ends | None
    n: int
    reason: str | None = None
    confidence: float = 0.95
    note: str | None = None

    @classmethod
    def of_blocks(cls, values: Sequence[float], unit: str, confidence: float = 0.95) -> Self:
        """Mean of one value per block with Student's interval over blocks.

        A linear quantity (cost, time, energy) is computed in each block first and averaged here,
        so that what its parts share inside a block is in the interval.
        """
        mean = mean_of_blocks(values, confidence)
        return cls(mean.estimate, unit, mean.ci, mean.n, mean.reason, confidence)

    @classmethod
    def of_ratio(
        cls,
        above: Mapping[int, float],
        below: Mapping[int, float],
        unit: str,
        confidence: float = 0.95,
    ) -> Self:
        """Ratio of geometric means over the blocks that both have, paired by block.

        Values must be above 0. Blocks that only one side has are left out, and `note` names them.
        """
        shared = sorted(above.keys() & below.keys())
        alone = sorted(above.keys() ^ below.keys())
        note = f"blocks without a partner left out: {alone}" if alone else None
        if not shared:
            return replace(cls.undefined("no block has both sides", unit), note=note)
        first, second = [above[b] for b in shared], [below[b] for b in shared]
        if len(shared) >= MIN_BLOCKS and min(first + second) > 0 and _constant(first, second):
            return cls(first[0] / second[0], unit, None, len(shared), CONSTANT, confidence, note)
        found = compare.ratio(first, second, confidence, paired=True)
        return cls(found.ratio, unit, found.ci, found.n_a, found.reason, confidence, note)

    @classmethod
    def exact(cls, value: float, unit: str, why: str) -> Self:
        """A value that no measurement enters, such as a price; `why` stands for its interval."""
        return cls(value, unit, None, 0, why)

    @classmethod
    def undefined(cls, reason: str, unit: str, n: int = 0) -> Self:
        """A quantity that cannot be given, and why."""
        return cls(None, unit, None, n, reason)


def _constant(first: list[float], second: list[float]) -> bool:
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    return max(ratios) - min(ratios) <= 1e-12 * max(ratios)
