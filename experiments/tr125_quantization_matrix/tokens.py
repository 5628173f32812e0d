"""TR125: what each level makes of every token of the project's texts, and where the cliff is."""

import numpy as np
import pandas as pd

from inferometer.analysis import Ledger, Where
from inferometer.quality import entries
from inferometer.stats import intervals

STEPS = ("q8_0", "q4_k_m", "q3_k_s")
"""The cliff is where the second step costs more than the first."""


def enter(ledger: Ledger, model) -> None:  # type: ignore[no-untyped-def]
    """Perplexity and divergence of every level, and the growth of divergence."""
    apart = {}
    for one in model.every:
        where: Where = {"kind": "text", "sut": one.inside, "cell_valid": True}
        rows = entries.selected(ledger, where)
        if one.inside and len(rows):
            entries.enter_texts(ledger, one.name, rows, where)
            if "kl" in rows:
                texts = pd.MultiIndex.from_frame(rows[["task", "item"]])
                apart[one.level] = (rows["kl"] / rows["tokens"]).set_axis(texts)
    _cliff(ledger, model, apart)


def _cliff(ledger: Ledger, model, apart: dict[str, pd.Series]) -> None:  # type: ignore[no-untyped-def]
    if not set(STEPS) <= apart.keys():
        return
    first, second, third = (apart[level].astype(float) for level in STEPS)
    growth = ((third - second) - (second - first)).dropna().to_numpy()
    if not growth.size:  # no text was read at all three
        return
    enough = growth.size >= intervals.FEWEST_FOR_BCA
    seen = intervals.bca(growth) if enough else intervals.mean_of_blocks(growth)
    suts = [one.inside for one in model.levels if one.level in STEPS]
    ledger.add(
        f"{model.name}.cliff",
        "growth of divergence from Q4_K_M to Q3_K_S over that from Q8_0 to Q4_K_M",
        float(np.mean(growth)),
        unit="nats/token",
        ci=seen.ci,
        n=growth.size,
        n_of="texts",
        where={"kind": "text", "sut": suts, "cell_valid": True},
        estimator="mean over texts of the difference of the two steps",
        no_interval=seen.reason,
    )
