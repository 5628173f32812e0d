"""TR127: the cliff where memory spills, its size and its place."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from inferometer import entries
from inferometer.analysis import Ledger
from inferometer.design import Design
from inferometer.stats import regimes

CAPPED, FREE = "llamacpp-capped", "llamacpp"


@dataclass
class Slowdown:
    """Log ratios of decode under the limit to decode without, ordered by context."""

    context: np.ndarray
    gap: np.ndarray
    predicted: float | None

    @property
    def before(self) -> int:
        """Values at contexts up to the predicted break."""
        return int((self.context <= (self.predicted or 0)).sum())


def findings(ledger: Ledger, suts: dict, design: Design) -> None:
    """Ratios by context; the break fixed in advance and the one that a search finds."""
    capped, free = suts.get(CAPPED), suts.get(FREE)
    if capped is None:
        return
    _failures(ledger, capped)
    if free is None:
        return
    for context in sorted(set(capped.timed) & set(free.timed)):
        _ratio(ledger, capped, free, context)
    seen = slowdown(suts, design)
    if seen is not None:
        _regimes(ledger, capped, seen)


def slowdown(suts: dict, design: Design) -> Slowdown | None:
    """The series that regimes are sought in; `None` without enough values for a search."""
    capped, free = suts.get(CAPPED), suts.get(FREE)
    if capped is None or free is None:
        return None
    good = capped.cells[capped.cells["decode_s"] > 0].sort_values(["context", "block"])
    usual = free.cells.groupby("context")["decode_s"].apply(lambda s: np.log(s.dropna()).mean())
    gap = np.log(good["decode_s"].to_numpy(float)) - good["context"].map(usual).to_numpy(float)
    kept = np.isfinite(gap)
    if kept.sum() < 7 or np.ptp(gap[kept]) == 0:
        return None
    rule = next((h for h in design.hypotheses.values() if h.test == "spill_where_predicted"), None)
    contexts = good["context"].to_numpy(float)[kept]
    return Slowdown(contexts, gap[kept], rule.low if rule else None)


def _ratio(ledger: Ledger, capped: Any, free: Any, context: int) -> None:
    for name, column, title in (
        ("decode", "decode_s", "time per token"),
        ("prefill", "prefill_s", "prefill"),
    ):
        a, b = capped.at(context, column), free.at(context, column)
        if a.empty or b.empty or (len(a) > 1 and len(b) > 1 and np.ptp(a) + np.ptp(b) == 0):
            continue
        where = capped.where(context, **capped.repetitions(warm=True))
        where |= {"sut": [capped.sut, free.sut]}
        text = f"{title} under the memory limit over that without it, at {context} tokens"
        entries.ratio(ledger, f"spill.{name}.c{context}", text, a, b, where)


def _regimes(ledger: Ledger, capped: Any, seen: Slowdown) -> None:
    """Both rules on the same series: searched, and fixed at the predicted context."""
    shared: dict[str, Any] = {
        "n": len(seen.gap),
        "n_of": "block records",
        "where": capped.where(**capped.repetitions(warm=True)) | {"sut": [CAPPED, FREE]},
    }
    # cells are measured in a random order, so neighbours in context are not neighbours in time
    found = regimes.single_break(seen.gap, noise="white")
    before, after = (float(seen.context[found.break_after + side]) for side in (-1, 0))
    for name, title, value, unit in (
        ("spill.found_before", "longest context before the break that a search finds", before, ""),
        ("spill.found_after", "shortest context after the break that a search finds", after, ""),
        (
            "spill.found_p",
            "p of the break that a search finds, allowing for the search",
            found.p,
            "",
        ),
    ):
        ledger.add(
            name,
            title,
            round(value) if name != "spill.found_p" else value,
            unit="tokens" if name != "spill.found_p" else unit,
            estimator="regimes.single_break: sup-F on log ratios, simulated null",
            no_interval="a level of the design" if name != "spill.found_p" else "a p-value",
            **shared,
        )
    if seen.predicted is None:
        return
    ledger.add(
        "spill.predicted",
        "context at which arithmetic reaches the limit",
        round(seen.predicted),
        unit="tokens",
        estimator="declared in the design",
        no_interval="fixed before the data",
        **shared,
    )
    p, reason = fixed_p(seen)
    ledger.add(
        "spill.predicted_p",
        "p of the break at the predicted context",
        p,
        estimator="regimes.fixed_break: F test on log ratios",
        no_interval="a p-value",
        reason=reason,
        **shared,
    )


def fixed_p(seen: Slowdown) -> tuple[float | None, str | None]:
    """p of the predicted break, or why there is none."""
    if seen.before < 2 or len(seen.gap) - seen.before < 2:
        return None, "fewer than two values on a side of the predicted context"
    return regimes.fixed_break(seen.gap, seen.before).p, None


def _failures(ledger: Ledger, capped: Any) -> None:
    bad = capped.cells[capped.cells["status"] != "ok"]
    ledger.add(
        "spill.failed",
        "cells under the memory limit whose server was killed or did not answer in time",
        len(bad),
        n=len(capped.cells),
        n_of="cells",
        where=capped.where(),
        estimator="count",
        no_interval="a count",
        notes=None if bad.empty else _contexts(bad),
    )


def _contexts(bad: pd.DataFrame) -> str:
    seen = sorted({(int(c), str(s)) for c, s in zip(bad["context"], bad["status"], strict=True)})
    return "; ".join(f"{status} at {context} tokens" for context, status in seen)
