"""TR127: memory by phase against arithmetic, and the longest context that fits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from inferometer.analysis import Ledger
from inferometer.artifacts import catalog
from inferometer.economics import kv
from inferometer.economics.context_memory import (
    LargestContext,
    MemoryModel,
    largest_context,
    of_worker,
    predict,
)
from inferometer.economics.memory import kv_bytes_per_token
from inferometer.errors import UserError

LOADED = ("weight_bytes", "loaded_bytes", "vocabulary")
MIB = 2**20
SHARES = (0.85, 0.90)
ARITHMETIC = "economics.context_memory from the facts of the loaded model; mean over blocks"
COMPUTED = "arithmetic on facts of the loaded model, which hardly differ between blocks"
COUNTED = "a level of the design"


def findings(ledger: Ledger, entries: Any, seen: Any) -> None:
    """Everything about the memory of one worker."""
    rows = ledger.observations
    lives = rows[rows["sut"] == seen.sut].drop_duplicates("block").set_index("block")
    try:
        models = {block: model(seen, facts) for block, facts in lives.iterrows()}
    except UserError as error:
        ledger.add(
            f"{seen.sut}.memory",
            "memory by arithmetic",
            None,
            n=0,
            estimator=ARITHMETIC,
            where=seen.where(),
            reason=str(error),
        )
        return
    for context in seen.levels:
        _peaks(ledger, entries, seen, models, context)
    _kv(ledger, entries, seen, models)
    if seen.limited:
        _limit(ledger, seen, models, lives["sut_memory_limit_mib"] * MIB)
    elif "sut_capacity_bytes" in lives:
        _capacity(ledger, seen, models, lives["sut_capacity_bytes"])


def model(seen: Any, facts: pd.Series) -> MemoryModel:
    """The memory model of one life of a worker, from what it says of itself."""
    known = {name: _number(facts.get(f"sut_{name}")) for name in (*kv.NEEDED, *LOADED)}
    value_bytes = catalog.DTYPE_BYTES[seen.settings.get("dtype", "float32")]
    return of_worker(
        seen.sut,
        known,
        value_bytes=value_bytes,
        device="cuda" if seen.settings.get("device") == "cuda" else "cpu",
        eager=seen.settings.get("attention") == "eager",
        activation_bytes_per_token=_activations(seen.artifact, known["hidden"]) * value_bytes,
    )


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _activations(artifact: str | None, hidden: float | None) -> float:
    """Numbers that a layer holds per token: three of the MLP's width, three of the model's.

    The MLP is where a layer is widest: gate, up and their product, beside the residual, its norm
    and the output. 0 (a lower limit) for artifacts that the catalog does not know.
    """
    try:
        shape = catalog.shipped().shape(artifact or "")
    except UserError:
        return 0.0
    width = shape.config.get("intermediate_size") or 4 * shape.hidden
    return 3 * width + 3 * (hidden or shape.hidden)


def _peaks(ledger: Ledger, entries: Any, seen: Any, models: dict, context: int) -> None:
    """Peaks of both phases at one context, and the prefill's against the prediction."""
    for part in ("prefill", "decode"):
        entries.mean(
            ledger,
            f"{seen.sut}.peak_{part}.c{context}",
            f"most memory in use during {part} at {context} tokens",
            seen.at(context, f"{part}_peak_bytes"),
            "B",
            seen.where(context, part=part),
        )
    predicted = pd.Series({block: predict(m, context).peak for block, m in models.items()})
    at = seen.where(context, part="prefill")
    _arithmetic(
        ledger,
        f"{seen.sut}.peak_predicted.c{context}",
        f"predicted peak of prefill at {context} tokens",
        predicted,
        "B",
        at,
    )
    every = pd.Series(
        {b: predict(replace(m, logits="all positions"), context).peak for b, m in models.items()}
    )
    _arithmetic(
        ledger,
        f"{seen.sut}.peak_all_logits.c{context}",
        f"predicted peak of prefill at {context} tokens if every position had its logits",
        every,
        "B",
        at,
    )
    entries.mean(
        ledger,
        f"{seen.sut}.peak_error.c{context}",
        f"measured over predicted peak of prefill at {context} tokens",
        seen.at(context, "prefill_peak_bytes") / predicted,
        "",
        at,
    )


def _kv(ledger: Ledger, entries: Any, seen: Any, models: dict) -> None:
    """Bytes per token of the KV cache, fitted in each block, against the formula."""
    held = seen.cells[seen.cells["kv_bytes"].notna()]
    slopes = {
        block: np.polyfit(group["kv_tokens"], group["kv_bytes"], 1)[0]
        for block, group in held.groupby("block")
        if group["kv_tokens"].nunique() > 1
    }
    if not slopes:
        return
    formula = next(kv_bytes_per_token(m.architecture, m.value_bytes) for m in models.values())
    where = seen.where()
    fitted = pd.Series(slopes, dtype=float)
    how = "least-squares line of cache bytes over tokens in each block; mean over blocks"
    entries.mean(
        ledger, f"{seen.sut}.kv_slope", "KV cache per token", fitted, "B", where, estimator=how
    )
    entries.mean(
        ledger,
        f"{seen.sut}.kv_slope_error",
        "KV cache per token, measured over formula",
        fitted / formula,
        "",
        where,
        estimator=how,
    )
    ledger.add(
        f"{seen.sut}.kv_formula",
        "KV cache per token by the formula",
        formula,
        unit="B",
        n=len(models),
        where=where,
        estimator="2 x layers x KV heads x head size x bytes per value",
        no_interval="arithmetic",
    )


def _limit(ledger: Ledger, seen: Any, models: dict, limits: pd.Series) -> None:
    """Under a limit: the longest context by arithmetic, and what was found."""
    fits = {block: largest_context(m, limits[block], 1.0) for block, m in models.items()}
    _largest(ledger, f"{seen.sut}.limit_predicted", "longest context within the limit", fits, seen)
    every = {
        block: largest_context(replace(m, logits="all positions"), limits[block], 1.0)
        for block, m in models.items()
    }
    _largest(
        ledger,
        f"{seen.sut}.limit_all_logits",
        "longest context within the limit if every position had its logits",
        every,
        seen,
    )
    bad = seen.cells[seen.cells["status"] != "ok"]["context"]
    fine = sorted(set(seen.levels) - set(bad.astype(int)))
    ooms = seen.cells[seen.cells["status"] == "oom"]["context"]
    for name, title, value, why in (
        ("limit_largest_ok", "longest context that ended well in every block",
         max(fine, default=None), "no context ended well in every block"),
        ("limit_smallest_oom", "shortest context at which memory ran out",
         None if ooms.empty else int(ooms.min()), "memory never ran out"),
    ):  # fmt: skip
        ledger.add(
            f"{seen.sut}.{name}",
            title,
            value,
            unit="tokens",
            n=seen.cells["block"].nunique(),
            where=seen.where(),
            estimator="over the cells of all blocks",
            no_interval=COUNTED,
            reason=why,
        )
    ledger.add(
        f"{seen.sut}.limit_ooms",
        "cells in which memory ran out",
        len(ooms),
        n=len(seen.cells),
        n_of="cells",
        where=seen.where(),
        estimator="count",
        no_interval="a count",
    )


def _capacity(ledger: Ledger, seen: Any, models: dict, capacities: pd.Series) -> None:
    """Without a limit: the longest context within shares of this machine's memory."""
    for share in SHARES:
        percent = f"{share * 100:.0f}"
        fits = {block: largest_context(m, capacities[block], share) for block, m in models.items()}
        _largest(
            ledger,
            f"{seen.sut}.context_at_{percent}",
            f"longest context within {percent} % of the memory",
            fits,
            seen,
        )


def _largest(
    ledger: Ledger, name: str, title: str, fits: dict[Any, LargestContext], seen: Any
) -> None:
    tokens = pd.Series({block: fit.tokens for block, fit in fits.items()}, dtype=float)
    bounds = {fit.bound for fit in fits.values()}
    note = {
        "model": "bounded by the model's own context",
        "memory": "bounded by memory",
        "weights": "the weights alone do not fit",
    }
    said = [note[bound] for bound in sorted(bounds)]
    if tokens.mean() > max(seen.levels):
        said.append("extrapolated")
    _arithmetic(
        ledger,
        name,
        f"{title}, by arithmetic",
        tokens.round(),
        "tokens",
        seen.where(),
        notes="; ".join(said),
    )


def _arithmetic(
    ledger: Ledger,
    name: str,
    title: str,
    values: pd.Series,
    unit: str,
    where: dict,
    notes: str | None = None,
) -> None:
    ledger.add(
        name,
        title,
        round(float(values.mean())),
        unit=unit,
        n=len(values),
        where=where,
        estimator=ARITHMETIC,
        no_interval=COMPUTED,
        notes=notes,
    )
