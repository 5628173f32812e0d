"""TR127: one SUT's cells, and how its findings are entered."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from inferometer import entries
from inferometer.analysis import Ledger
from inferometer.stats import compare, scaling


@dataclass
class Context:
    """What figures and verdicts need of one SUT besides its findings."""

    sut: str
    label: str
    settings: dict[str, Any]
    artifact: str | None
    cells: pd.DataFrame
    prefill: scaling.PowerLawFit | None = None

    @property
    def levels(self) -> list[int]:
        """Every context that was tried."""
        return sorted(int(level) for level in self.cells["context"].unique())

    @property
    def timed(self) -> list[int]:
        """Contexts with a prefill that ended well in some block."""
        kept = self.cells[self.cells["prefill_s"].notna()]
        return sorted(int(level) for level in kept["context"].unique())

    @property
    def worker(self) -> bool:
        """Whether it infers in process, so that its memory by phase is known."""
        return bool((self.cells["kind"] == "phase").any())

    @property
    def limited(self) -> bool:
        """Whether its memory is limited."""
        return self.settings.get("memory_limit_mib") is not None

    def at(self, context: int, column: str) -> pd.Series:
        """One value per block at a context, indexed by block."""
        chosen = self.cells[self.cells["context"] == context]
        return chosen.set_index("block")[column].dropna()

    def where(self, context: int | list[int] | None = None, **more: Any) -> dict[str, Any]:
        """What selects the rows of this SUT (at a context)."""
        # a server's rows are requests alone, and then the table may have no column of kinds
        found = {"sut": self.sut, "cell_valid": True} | more
        found |= {"kind": "phase"} if self.worker else {}
        return found | ({"context": context} if context is not None else {})

    def repetitions(self, warm: bool) -> dict[str, Any]:
        """What selects its warm repetitions, or the cold one."""
        most = int(self.cells["warm_repetitions"].max())
        column = "repetition" if self.worker else "sequence"
        return {column: list(range(1, most + 1)) if warm and most else 0}


mean = partial(entries.mean, reason="in no block did it end well, or it is not reported")


def ratio(
    ledger: Ledger,
    name: str,
    title: str,
    a: pd.Series,
    b: pd.Series,
    where: dict,
    paired: bool = False,
) -> compare.Ratio | None:
    """Enter a ratio of block values; `None` where a side has no blocks, or no spread."""
    if paired:
        a, b = entries.matched(a, b)
    if a.empty or b.empty or (len(a) > 1 and entries.spread(a, b, paired) == 0):
        return None
    return entries.ratio(ledger, name, title, a, b, where, paired=paired)
