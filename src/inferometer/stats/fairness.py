"""Fairness of a shared resource among agents."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from inferometer.stats import inputs
from inferometer.stats.result import Result


@dataclass(frozen=True, repr=False)
class Fairness(Result):
    """Jain's index: 1 when all shares are equal, 1/n when one agent gets everything."""

    index: float | None
    n: int
    reason: str | None = None

    def __float__(self) -> float:
        return float("nan") if self.index is None else self.index


def jain(x: ArrayLike) -> Fairness:
    """Give Jain's fairness index of the agents' shares.

    Parameters
    ----------
    x : one share per agent (throughput, requests served), each at least 0, any unit.

    Returns
    -------
    Fairness
        ``(sum x)^2 / (n sum x^2)``, between 1/n and 1; None when every share is 0. For an
        interval, take the index in each block and give the blocks' values to `mean_of_blocks`.

    Raises
    ------
    ValueError
        Empty, non-finite or negative shares.

    Notes
    -----
    Jain, Chiu and Hawe (1984), DEC-TR-301, eq. 2.
    """
    shares = inputs.sample("x", x)
    if (shares < 0).any():
        raise ValueError("x: a share must not be below 0")
    largest = float(shares.max())
    if largest == 0:
        return Fairness(None, shares.size, "every share is 0")
    relative = shares / largest
    index = float(relative.sum()) ** 2 / (shares.size * float((relative**2).sum()))
    return Fairness(min(index, 1.0), shares.size)
