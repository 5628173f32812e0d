"""How what was seen in blocks becomes a finding: means and ratios, with the rows behind them."""

from typing import Any

import numpy as np
import pandas as pd

from inferometer.analysis import Ledger, Where
from inferometer.economics.estimate import Estimate
from inferometer.stats import compare, intervals

MEAN = "intervals.mean_of_blocks: mean over blocks, t interval"
PAIRED = "compare.ratio, paired by block: geometric mean, t interval on logs"
UNPAIRED = "compare.ratio: geometric means over blocks, Welch on logs"
OF_ESTIMATE = "mean over blocks, t interval"


def mean(
    ledger: Ledger,
    name: str,
    title: str,
    values: Any,
    unit: str,
    where: Where,
    *,
    reason: str,
    low: float | None = None,
    high: float | None = None,
    estimator: str = MEAN,
    notes: str | None = None,
) -> None:
    """Enter a mean over blocks with its t interval, cut at what is possible (`low`, `high`).

    `values` has one value a block, those that are missing are left out; `reason` is said where
    there are none.
    """
    values = pd.Series(values, dtype=float).dropna()
    shared: dict[str, Any] = {"unit": unit, "where": where, "estimator": estimator, "notes": notes}
    if values.empty:
        ledger.add(name, title, None, n=0, reason=reason, **shared)
        return
    seen = intervals.mean_of_blocks(values)
    ends = seen.ci
    if ends is not None:
        ends = (
            ends[0] if low is None else max(ends[0], low),
            ends[1] if high is None else min(ends[1], high),
        )
    ledger.add(name, title, seen.estimate, ci=ends, n=seen.n, no_interval=seen.reason, **shared)


def ratio(
    ledger: Ledger,
    name: str,
    title: str,
    a: pd.Series,
    b: pd.Series,
    where: Where,
    *,
    paired: bool = False,
    notes: str | None = None,
) -> compare.Ratio:
    """Enter `a` over `b`, values of blocks above 0; those that are paired match one another.

    `ValueError` where there is nothing to compare: see `matched` and `spread`.
    """
    seen = compare.ratio(a, b, paired=paired)
    ledger.add(
        name,
        title,
        seen.ratio,
        ci=seen.ci,
        n=min(len(a), len(b)),
        where=where,
        no_interval=seen.reason,
        estimator=PAIRED if paired else UNPAIRED,
        notes=notes,
    )
    return seen


def matched(a: pd.Series, b: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The values of the blocks that both have."""
    both = a.index.intersection(b.index)
    return a.loc[both], b.loc[both]


def spread(a: pd.Series, b: pd.Series, paired: bool = False) -> float:
    """How far the logarithms of two samples (or of their pairs) reach; 0 leaves no test."""
    logs = np.log(a.to_numpy(float)), np.log(b.to_numpy(float))
    reach = np.ptp(logs[0] - logs[1]) if paired else np.ptp(logs[0]) + np.ptp(logs[1])
    return 0.0 if reach < 1e-12 else float(reach)


def estimate(
    ledger: Ledger, name: str, title: str, seen: Estimate, where: Where, **more: Any
) -> None:
    """Enter an estimate with its note; `more` goes to `Ledger.add`, before what `seen` says."""
    notes = "; ".join(filter(None, (more.pop("notes", None), seen.note))) or None
    said = {"unit": seen.unit, "ci": seen.ci, "n": seen.n, "estimator": OF_ESTIMATE}
    ledger.add(
        name,
        title,
        seen.value,
        confidence=seen.confidence,
        where=where,
        no_interval=seen.reason,
        reason=seen.reason,
        notes=notes,
        **said | more,
    )
