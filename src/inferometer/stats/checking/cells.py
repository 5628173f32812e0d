"""What one simulated cell is, and how its outcomes are counted and judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np

Tally = dict[tuple[str, str], int]
"""Hits by (quantity, method)."""

Simulation = Callable[[dict[str, Any], int, np.random.Generator], Tally]


@dataclass(frozen=True)
class Band:
    """Where the share of hits must lie."""

    low: float
    high: float

    def holds(self, share: float, slack: float = 0.0) -> bool:
        """Say whether a share lies inside, widened by `slack` on both sides."""
        return self.low - slack <= share <= self.high + slack

    def __str__(self) -> str:
        if self.low <= 0:
            return f"at most {self.high:g}"
        if self.high >= 1:
            return f"at least {self.low:g}"
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Cell:
    """One setting of one simulation; `judged` gives the band of each judged outcome."""

    criterion: str
    setting: str
    simulate: Simulation
    judged: dict[tuple[str, str], Band]
    parameters: dict[str, Any] = field(default_factory=dict)
    times: int = 1
    """Simulated so many times more often: cheap cells whose error rate lies near its limit."""


@dataclass(frozen=True)
class Outcome:
    """Share of simulations in which one method did what is counted."""

    criterion: str
    setting: str
    quantity: str
    method: str
    hits: int
    runs: int
    band: Band | None

    @property
    def share(self) -> float:
        """Return hits over runs."""
        return self.hits / self.runs

    @property
    def error(self) -> float:
        """Return the Monte-Carlo standard error of the share, with 2 hits and 2 misses added."""
        smoothed = (self.hits + 2) / (self.runs + 4)
        return sqrt(smoothed * (1 - smoothed) / self.runs)

    def met(self, slack_errors: float = 0.0) -> bool | None:
        """Say whether the band is met, widened by so many binomial errors at its edge."""
        if self.band is None:
            return None
        edge = self.band.low if self.band.low > 0 else self.band.high
        slack = slack_errors * sqrt(max(edge * (1 - edge), 0.0) / self.runs)
        return self.band.holds(self.share, slack)


def add(tally: Tally, quantity: str, method: str, hit: bool | np.bool_) -> None:
    """Count one simulation."""
    key = quantity, method
    tally[key] = tally.get(key, 0) + int(hit)


def inside(ci: tuple[float | None, float | None] | None, truth: float) -> bool:
    """Say whether an interval covers the truth; an undefined interval covers nothing."""
    if ci is None:
        return False
    low, high = ci
    return (low is None or low <= truth) and (high is None or truth <= high)
