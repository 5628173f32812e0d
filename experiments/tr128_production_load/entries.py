"""TR128: what is known of one SUT, and how its findings are entered."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from inferometer import entries
from inferometer.analysis import Ledger
from inferometer.stats import compare

NONE = "no block has a value: the server does not report it, or requests were not finished"


@dataclass
class Seen:
    """What figures and verdicts need of one SUT besides its findings."""

    sut: str
    label: str
    slots: int
    capacity: pd.Series
    cells: pd.DataFrame
    turns: pd.DataFrame
    drifts: pd.DataFrame

    @property
    def load(self) -> pd.DataFrame:
        """The cells of the phase `load`."""
        return self.cells[self.cells["phase"] == "load"]

    @property
    def levels(self) -> list[float]:
        """Every rho of the phase `load`."""
        return sorted(float(rho) for rho in self.load["rho"].unique())

    def at(self, rho: float, column: str) -> pd.Series:
        """One value per block at a rho of the phase `load`, indexed by block."""
        return values(self.load[self.load["rho"] == rho], column)

    def where(self, phase: str, **more: Any) -> dict[str, Any]:
        """What selects the requests of this SUT in a phase."""
        return {"sut": self.sut, "phase": phase, "kind": "request", "cell_valid": True} | more


def values(cells: pd.DataFrame, column: str) -> pd.Series:
    """One value per block, indexed by block, without those that are not defined."""
    return pd.to_numeric(cells.set_index("block")[column]).dropna().astype(float)


def tag(rho: float, law: str = "poisson") -> str:
    """How findings name a level: `rho70`, `rho70.gamma-2`."""
    return f"rho{round(100 * rho)}" + ("" if law == "poisson" else f".{law}")


def mean(
    ledger: Ledger,
    name: str,
    title: str,
    found: pd.Series,
    unit: str,
    where: dict,
    *,
    low: float | None = None,
    high: float | None = None,
    of: int | None = None,
    reason: str = NONE,
) -> None:
    """Enter a mean over blocks with its t interval, cut at what is possible.

    With `of`, the number of blocks that were measured, a mean of fewer of them is not entered: the
    blocks that lack a value are those in which the system was fullest.
    """
    if of is not None and 0 < len(found) < of:
        found, reason = found.iloc[:0], f"defined in {len(found)} of {of} blocks alone"
    entries.mean(ledger, name, title, found, unit, where, low=low, high=high, reason=reason)


def ratio(
    ledger: Ledger,
    name: str,
    title: str,
    a: pd.Series,
    b: pd.Series,
    where: dict,
    *,
    paired: bool = True,
    notes: str | None = None,
) -> compare.Ratio | None:
    """Enter a ratio of block values; `None` where it has no value or no spread."""
    if paired:
        a, b = entries.matched(a, b)
    how = entries.PAIRED if paired else entries.UNPAIRED
    why = None
    if a.empty or b.empty:
        why = NONE
    elif min(a.min(), b.min()) <= 0:
        why = "a block has a value of 0 or less: no ratio"
    if why:
        ledger.add(name, title, None, n=0, estimator=how, where=where, reason=why)
        return None
    if len(a) > 1 and entries.spread(a, b, paired) == 0:
        same = "all blocks give the same ratio"
        value = float(a.iloc[0] / b.iloc[0])
        ledger.add(name, title, value, n=len(a), estimator=how, where=where, no_interval=same)
        return None
    return entries.ratio(ledger, name, title, a, b, where, paired=paired, notes=notes)
