"""How near measurements come to what bandwidth and compute, as measured, allow.

The roofline (Williams et al., 2009) with ceilings of the same machine in the same block, not
from a data sheet. Single sequences.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from inferometer.economics.architecture import Architecture
from inferometer.economics.estimate import Estimate
from inferometer.economics.guards import positive
from inferometer.economics.roofline import decode_ceiling, prefill_flops, prefill_seconds

FASTER_THAN_THE_BOUND = (
    "above 1: the probe undershot the machine, or caches served what the bound takes from memory"
)


def decode_step_bytes(decode_weight_bytes: float, kv_token_bytes: float, position: float) -> float:
    """Bytes that one decode step must read: the weights, and the KV cache of `position` tokens.

    `kv_token_bytes` comes from `memory.kv_bytes_per_token`.
    """
    positive(decode_weight_bytes=decode_weight_bytes)
    return decode_weight_bytes + kv_token_bytes * position


def mean_decode_bytes(
    decode_weight_bytes: float, kv_token_bytes: float, prompt_tokens: int, steps: int
) -> float:
    """Mean bytes a step over the decode steps after a prompt.

    Step k attends to prompt + k tokens, so the mean position is prompt + (steps + 1) / 2, and the
    bound of the mean is the total bytes over the total time.
    """
    positive(prompt_tokens=prompt_tokens, steps=steps)
    position = prompt_tokens + (steps + 1) / 2
    return decode_step_bytes(decode_weight_bytes, kv_token_bytes, position)


@dataclass(frozen=True)
class Bound:
    """A measured rate beside its bound; `fraction` is measured over bound, paired by block."""

    bytes_or_flops_per_token: float
    bound_per_s: dict[int, float]
    fraction: Estimate


def decode_bound(
    tokens_per_s: Mapping[int, float],
    bandwidth: Mapping[int, float],
    bytes_per_step: float,
    confidence: float = 0.95,
) -> Bound:
    """Compare decode rates with bandwidth / bytes per step, block by block.

    `tokens_per_s` and `bandwidth` (bytes/s, measured) are keyed by block.
    """
    bounds = {block: decode_ceiling(value, bytes_per_step) for block, value in bandwidth.items()}
    return Bound(bytes_per_step, bounds, _fraction(tokens_per_s, bounds, confidence))


def prefill_bound(
    tokens_per_s: Mapping[int, float],
    flops_per_s: Mapping[int, float],
    architecture: Architecture,
    prompt_tokens: int,
    layer_params: float,
    confidence: float = 0.95,
) -> Bound:
    """Compare prefill rates with the matrix-multiplication speed (flop/s, measured) of each block.

    `layer_params` are the weights inside the layers, see `layer_weights`. A bound for compute:
    prompts so short that reading the weights takes longer have a lower one.
    """
    positive(prompt_tokens=prompt_tokens)
    flops = prefill_flops(architecture, prompt_tokens, layer_params)
    bounds = {
        block: prompt_tokens / prefill_seconds(flops, value) for block, value in flops_per_s.items()
    }
    return Bound(flops / prompt_tokens, bounds, _fraction(tokens_per_s, bounds, confidence))


def layer_weights(
    decode_weight_bytes: float, value_bytes: float, vocabulary: int, hidden: int
) -> float:
    """Weights inside the layers: those that a decode step reads, less the output head."""
    positive(decode_weight_bytes=decode_weight_bytes, value_bytes=value_bytes)
    found = decode_weight_bytes / value_bytes - vocabulary * hidden
    if found <= 0:
        raise ValueError(
            f"decode_weight_bytes: {decode_weight_bytes:g} leave nothing besides an output head "
            f"of {vocabulary} x {hidden}"
        )
    return found


def _fraction(
    measured: Mapping[int, float], bounds: Mapping[int, float], confidence: float
) -> Estimate:
    found = Estimate.of_ratio(measured, bounds, "measured / bound", confidence)
    if found.value is not None and found.value > 1:
        note = "; ".join(filter(None, (found.note, FASTER_THAN_THE_BOUND)))
        return replace(found, note=note)
    return found
