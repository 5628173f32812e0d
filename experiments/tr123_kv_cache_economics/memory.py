"""TR123: bytes of the KV cache, and how near the phases come to bandwidth and compute."""

from typing import Any

import pandas as pd

from inferometer.analysis import Ledger, Where
from inferometer.economics import bounds, kv
from inferometer.economics.architecture import Architecture
from inferometer.economics.estimate import Estimate
from inferometer.economics.memory import kv_bytes_per_token
from inferometer.economics.roofline import prefill_flops
from inferometer.phases import summary

SAME = "every record has the same value: the size is computed by the allocator, not sampled"
FORMULA = "2 x layers x KV heads x head size x bytes per value x tokens"
NOT_HELD = "no record holds a KV cache"
CEILINGS = {
    "read_bandwidth": ("bandwidth of reading", "B/s"),
    "copy_bandwidth": ("bandwidth of copying, bytes read and written", "B/s"),
    "gemm_flops": ("speed of matrix multiplication in the model's precision", "flop/s"),
}


def findings(ledger: Ledger, suts: dict[str, Any], entries: Any) -> None:
    """Enter the KV cache, the ceilings and the bounds of every SUT."""
    for seen in suts.values():
        shape = kv.from_facts(seen.sut, seen.facts)
        held = _held(seen)
        _formula(seen, shape, held)
        _contexts(seen, entries, shape, held)
        _crossover(seen, shape)
        _grouped(seen, shape, held)
        _ceilings(seen, entries)
        _bounds(seen, entries, shape)
    _against_multi_head(ledger, suts)


def _held(seen: Any) -> pd.DataFrame:
    """Records at whose end the cache held something, with the bytes that the formula gives."""
    rows = summary.of_kind(seen.ledger.observations, "phase")
    rows = rows[(rows["sut"] == seen.sut) & (rows["status"] == "ok") & rows["cached"].eq(True)]
    rows = rows[pd.to_numeric(rows["kv_bytes"]) > 0].copy()
    per_token = kv_bytes_per_token(kv.from_facts(seen.sut, seen.facts), _width(seen))
    rows["predicted"] = per_token * pd.to_numeric(rows["context_end"])
    rows["error"] = rows["predicted"] / pd.to_numeric(rows["kv_bytes"]) - 1
    return rows


def _width(seen: Any) -> float:
    return float(seen.facts["kv_value_bytes"])


def _where(seen: Any, **more: Any) -> Where:
    where: Where = {"kind": "phase", "sut": seen.sut, "status": "ok", "kv_cache": "on"}
    return where | more


def _exact(
    seen: Any, name: str, title: str, value: float | bool | None, unit: str, n: int, **more: Any
) -> None:
    """A quantity of the model's shape and of allocations, which do not vary."""
    more = {"where": _where(seen), "n_of": "records", "estimator": FORMULA, **more}
    seen.ledger.add(
        f"{seen.sut}.{name}",
        title,
        value,
        unit=unit,
        n=n,
        no_interval=SAME,
        reason=NOT_HELD,
        **more,
    )


def _formula(seen: Any, shape: Architecture, held: pd.DataFrame) -> None:
    """Predicted against allocated, whole and by layer; and the bytes of a token."""
    n = len(held)
    how = "largest |predicted / allocated - 1| of all records"
    worst = float(held["error"].abs().max()) if n else None
    title = "largest relative error of the predicted KV bytes"
    _exact(seen, "kv_error", title, worst, "", n, estimator=how)
    layer = None
    if n and "kv_layer_bytes_low" in held:
        each = held["predicted"] / shape.layers
        ends = (pd.to_numeric(held[f"kv_layer_bytes_{end}"]) for end in ("low", "high"))
        layer = max(float((each / end - 1).abs().max()) for end in ends)
    title = "largest relative error of the predicted KV bytes of a single layer"
    _exact(seen, "kv_error_layer", title, layer, "", n, estimator=how)
    measured = pd.to_numeric(held["kv_bytes"]) / pd.to_numeric(held["context_end"])
    title = "KV bytes of a token, allocated"
    value = float(measured.mean()) if n else None
    _exact(
        seen, "kv_per_token", title, value, "B", n, estimator="bytes over tokens, mean of records"
    )
    title = "KV bytes of a token, predicted"
    _exact(
        seen, "kv_per_token_predicted", title, kv_bytes_per_token(shape, _width(seen)), "B", n or 1
    )


def _contexts(seen: Any, entries: Any, shape: Architecture, held: pd.DataFrame) -> None:
    """Allocated and predicted bytes at the end of each scenario."""
    ended = held[held["part"] == "decode"]
    for scenario in seen.scenarios:
        rows = ended[ended["scenario"] == scenario]
        name, n = entries.tag(scenario), len(rows)
        where = _where(seen, scenario=scenario, part="decode")
        tokens = int(rows["context_end"].iloc[0]) if n else None
        shared: dict[str, Any] = {"where": where, "estimator": "mean of records"}
        title = f"tokens in the KV cache at the end of scenario {scenario}"
        _exact(seen, f"kv_tokens.{name}", title, tokens, "tokens", n, **shared)
        value = float(pd.to_numeric(rows["kv_bytes"]).mean()) if n else None
        title = f"KV bytes allocated at the end of scenario {scenario}"
        _exact(seen, f"kv_bytes.{name}", title, value, "B", n, **shared)
        value = float(rows["predicted"].iloc[0]) if n else None
        title = f"KV bytes predicted at the end of scenario {scenario}"
        _exact(seen, f"kv_predicted.{name}", title, value, "B", n, where=where)


def _crossover(seen: Any, shape: Architecture) -> None:
    """The context at which the cache weighs as much as the weights, and whether it can be had."""
    found = kv.crossover(shape, seen.facts["weight_bytes"], _width(seen))
    reach = "" if found.reachable else f"beyond the model's context of {found.context} tokens"
    shared: dict[str, Any] = {"notes": reach or None, "n_of": "model", "where": {"sut": seen.sut}}
    how = "weight bytes in memory over KV bytes of a token"
    title = "context at which the KV cache is as large as the weights"
    _exact(seen, "crossover", title, found.tokens, "tokens", 1, estimator=how, **shared)
    title = "whether the model accepts a context of that length"
    _exact(seen, "crossover_reachable", title, found.reachable, "", 1, estimator=how, **shared)
    title = "KV bytes over weight bytes at the model's longest context"
    _exact(seen, "kv_share", title, found.share_at_context, "", 1, estimator=how, **shared)
    shared["notes"] = None
    title = "longest context that the model accepts"
    _exact(seen, "context", title, found.context, "tokens", 1, estimator="read back", **shared)
    title = "weights in memory"
    weights = int(seen.facts["weight_bytes"])
    _exact(seen, "weight_bytes", title, weights, "B", 1, estimator="read back", **shared)


def _grouped(seen: Any, shape: Architecture, held: pd.DataFrame) -> None:
    """The model's own bytes against the same model with a KV head for every query head."""
    n = len(held)
    as_is = (
        float((pd.to_numeric(held["kv_bytes"]) / pd.to_numeric(held["context_end"])).mean())
        if n
        else None
    )
    full = kv_bytes_per_token(kv.multi_head(shape), _width(seen))
    how = "predicted bytes with as many KV heads as heads, over allocated bytes"
    title = "KV bytes that multi-head attention would need over those allocated, equal context"
    value = full / as_is if as_is else None
    _exact(seen, "mha_over_own", title, value, "", n, estimator=how)
    values = as_is / _width(seen) if as_is else None
    title = "KV values of a token, allocated (bytes over bytes per value)"
    _exact(seen, "kv_values_per_token", title, values, "values", n, estimator="mean of records")


def _against_multi_head(ledger: Ledger, suts: dict[str, Any]) -> None:
    """Each GQA model against each MHA model: values per token, so that precision does not enter."""

    def grouped(seen: Any) -> bool:
        return bool(seen.facts["kv_heads"] < seen.facts["heads"])

    for other in (s for s in suts.values() if not grouped(s)):
        for seen in (s for s in suts.values() if grouped(s)):
            ours, theirs = (ledger.findings[f"{s.sut}.kv_values_per_token"] for s in (seen, other))
            known = ours.value is not None and theirs.value is not None
            ledger.add(
                f"{seen.sut}.saves_against.{other.sut}",
                f"KV values of a token: {other.sut} (MHA) over {seen.sut} (GQA)",
                float(theirs.value) / float(ours.value) if known else None,  # type: ignore[arg-type]
                n=ours.n + theirs.n,
                n_of="records",
                where=_where(seen, sut=[seen.sut, other.sut]),
                estimator="ratio of allocated values per token, at equal context",
                no_interval=SAME,
                reason=NOT_HELD,
            )


def _ceilings(seen: Any, entries: Any) -> None:
    for quantity, (title, unit) in CEILINGS.items():
        values = _ceiling(seen, quantity)
        where: Where = {"kind": "ceiling", "sut": seen.sut, "quantity": quantity}
        if "quantity" not in seen.ledger.observations:
            where = {"kind": "ceiling", "sut": seen.sut}
        how = "best probe of each block, mean over blocks, t interval"
        found = entries.mean(values, unit)
        seen.enter(quantity, f"{title}, measured", found, where, estimator=how)


def _ceiling(seen: Any, quantity: str) -> dict[int, float]:
    rows = seen.ceilings[seen.ceilings["quantity"] == quantity]
    return {int(b): float(v) for b, v in zip(rows["block"], rows["value"], strict=True)}


def _bounds(seen: Any, entries: Any, shape: Architecture) -> None:
    """Measured rate over the bound of each scenario, with ceilings of the same block."""
    bandwidth, compute = _ceiling(seen, "read_bandwidth"), _ceiling(seen, "gemm_flops")
    for scenario in seen.scenarios:
        prompt, _, generated = scenario.partition("/")
        lengths = int(prompt), int(generated)
        rates = {part: seen.at(scenario, f"{part}_tokens_s") for part in ("prefill", "decode")}
        found = {
            "decode": _decode_share(seen, shape, rates["decode"], bandwidth, lengths),
            "prefill": _prefill_share(
                seen, shape, rates["prefill"], bandwidth, compute, lengths[0]
            ),
        }
        for part, share in found.items():
            kept = {key: v for key, v in seen.where(scenario, part).items() if key == "sut"}
            seen.enter(
                f"{part}_of_bound.{entries.tag(scenario)}",
                f"{part} rate over what the measured ceilings allow, scenario {scenario}",
                share,
                {**kept, "kind": ["phase", "ceiling"]},
                estimator=entries.RATIO,
                unit="",
            )


def _decode_share(
    seen: Any,
    shape: Architecture,
    rates: dict[int, float],
    bandwidth: dict[int, float],
    lengths: tuple[int, int],
) -> Estimate:
    if not rates or not bandwidth:
        return Estimate.undefined("no rate or no ceiling was measured", "")
    per_token = kv_bytes_per_token(shape, _width(seen))
    read = bounds.mean_decode_bytes(
        seen.facts["decode_weight_bytes"], per_token, lengths[0], lengths[1] - 1
    )
    return bounds.decode_bound(rates, bandwidth, read).fraction


def _prefill_share(
    seen: Any,
    shape: Architecture,
    rates: dict[int, float],
    bandwidth: dict[int, float],
    compute: dict[int, float],
    prompt: int,
) -> Estimate:
    """Prefill cannot beat computing, nor reading the weights once."""
    if not rates or not bandwidth or not compute:
        return Estimate.undefined("no rate or no ceiling was measured", "")
    weights, width = seen.facts["decode_weight_bytes"], _width(seen)
    layers = bounds.layer_weights(weights, width, int(seen.facts["vocabulary"]), shape.hidden)
    flops = prefill_flops(shape, prompt, layers)
    slowest = {
        block: prompt / max(flops / compute[block], weights / bandwidth[block])
        for block in compute.keys() & bandwidth.keys()
    }
    return Estimate.of_ratio(rates, slowest, "")
