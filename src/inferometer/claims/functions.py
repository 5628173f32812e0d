"""The functions that a check may call: arithmetic, predicates, and the project's economics."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from inferometer.claims.expression import Comparison
from inferometer.economics import capacity, memory, money, roofline
from inferometer.economics.architecture import Architecture

NINETY_FIVE = 1.959964
POWER_EIGHTY = 0.841621


def close(left: float, right: float, tolerance: float = 0.01) -> Comparison:
    """Equal within a relative tolerance (1 % unless said): published numbers are rounded."""
    scale = max(abs(left), abs(right))
    return Comparison(left, "≈", right, abs(left - right) <= tolerance * scale)


def rounds_to(value: float, printed: float, step: float) -> Comparison:
    """The value, rounded to `step`, is the printed one."""
    slack = step / 2 * (1 + 1e-9)
    return Comparison(value, "rounds to", printed, abs(value - printed) <= slack)


def between(value: float, low: float, high: float) -> Comparison:
    """The value lies in [low, high]; a failure is stated against the end that it passes."""
    if low > high:
        raise ValueError(f"low {low:g} is above high {high:g}")
    if value < low:
        return Comparison(value, ">=", low, False)
    return Comparison(value, "<=", high, value <= high)


def inside(low: float, high: float, outer_low: float, outer_high: float) -> Comparison:
    """The interval [low, high] lies inside the outer one, within 1 %; the worse end is stated."""
    ends = (
        Comparison(low, ">=", outer_low, low >= outer_low - 0.01 * abs(outer_low)),
        Comparison(high, "<=", outer_high, high <= outer_high + 0.01 * abs(outer_high)),
    )
    return min(ends, key=lambda end: (end.holds, -_distance(end)))


def meets(low: float, high: float, other_low: float, other_high: float) -> Comparison:
    """The intervals share at least one value."""
    if low > other_high:
        return Comparison(low, "<=", other_high, False)
    return Comparison(high, ">=", other_low, high >= other_low)


def _distance(comparison: Comparison) -> float:
    if comparison.left <= 0 or comparison.right <= 0:
        return abs(comparison.left - comparison.right)
    return abs(math.log(comparison.left / comparison.right))


def same(*values: Any) -> bool:
    """All values, numbers or words as coded from the passages, are equal."""
    if len(values) < 2:
        raise ValueError("same() compares at least two values")
    return all(value == values[0] for value in values[1:])


def reaches(value: float, needed: float) -> bool:
    """At least as high, for versions and capabilities, whose ratio means nothing."""
    return value >= needed


def proportion_half_width(proportion: float, n: float) -> float:
    """Half the width of the 95 % interval of a proportion (normal approximation)."""
    return float(NINETY_FIVE * math.sqrt(proportion * (1 - proportion) / n))


def difference_half_width(first: float, second: float, n: float) -> float:
    """The same for the difference of two independent proportions of n items each."""
    return math.hypot(proportion_half_width(first, n), proportion_half_width(second, n))


def detectable_effect(n: float) -> float:
    """Smallest d that a two-sided test with n per arm finds with power .8 at .05 (normal)."""
    return float((NINETY_FIVE + POWER_EIGHTY) * math.sqrt(2 / n))


def samples_for_effect(d: float) -> float:
    """Samples per arm for power .8 at .05 (normal)."""
    return 2 * ((NINETY_FIVE + POWER_EIGHTY) / d) ** 2


def samples_for_proportions(first: float, second: float) -> float:
    """Samples per arm to tell two proportions apart with power .8 at .05 (normal)."""
    variance = first * (1 - first) + second * (1 - second)
    return (NINETY_FIVE + POWER_EIGHTY) ** 2 * variance / (first - second) ** 2


def params(model: Architecture) -> float:
    """All weights of a model."""
    return model.params


def active_params(model: Architecture) -> float:
    """Weights that one token passes through."""
    return model.active_params


def positions(model: Architecture) -> float:
    """The longest sequence that a model accepts."""
    return model.positions


def layers(model: Architecture) -> float:
    """Layers of a model."""
    return model.layers


def heads(model: Architecture) -> float:
    """Query heads of a model."""
    return model.heads


def attention_flops(model: Architecture, tokens: float) -> float:
    """Operations of causal attention in a prefill, without the weights' own."""
    return roofline.prefill_flops(model, tokens, 0)


def geometric_mean_of_equals(value: float, *weights: float) -> float:
    """Weighted geometric mean of votes that all have the same value."""
    return capacity.weighted_geometric_mean([value] * len(weights), weights)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "min": min,
    "max": max,
    "sum": lambda *terms: math.fsum(terms),
    "prod": lambda *factors: math.prod(factors),
    "mean": lambda *terms: math.fsum(terms) / len(terms),
    "count": lambda *terms: len(terms),
    "close": close,
    "rounds_to": rounds_to,
    "between": between,
    "inside": inside,
    "meets": meets,
    "same": same,
    "reaches": reaches,
    "proportion_half_width": proportion_half_width,
    "difference_half_width": difference_half_width,
    "detectable_effect": detectable_effect,
    "samples_for_effect": samples_for_effect,
    "samples_for_proportions": samples_for_proportions,
    "params": params,
    "active_params": active_params,
    "positions": positions,
    "layers": layers,
    "heads": heads,
    "attention_flops": attention_flops,
    "weight_bytes": memory.weight_bytes,
    "bits_per_weight": memory.bits_per_weight,
    "kv_bytes_per_token": memory.kv_bytes_per_token,
    "kv_bytes": memory.kv_bytes,
    "tokens_that_fit": memory.tokens_that_fit,
    "attention_score_bytes": memory.attention_score_bytes,
    "dram_bandwidth": roofline.dram_bandwidth,
    "decode_ceiling": roofline.decode_ceiling,
    "decode_bandwidth": roofline.decode_bandwidth,
    "ridge_intensity": roofline.ridge_intensity,
    "offload_seconds": roofline.offload_seconds,
    "speculative_speedup": roofline.speculative_speedup,
    "amortised_monthly": money.amortised_monthly,
    "energy_cost": money.energy_cost,
    "break_even_months": money.break_even_months,
    "cost_per_million": money.cost_per_million,
    "generation_hours": money.generation_hours,
    "request_seconds": capacity.request_seconds,
    "decode_share": capacity.decode_share,
    "machines_needed": capacity.machines_needed,
    "utilisation": capacity.utilisation,
    "in_flight": capacity.in_flight,
    "amdahl_speedup": capacity.amdahl_speedup,
    "amdahl_efficiency": capacity.amdahl_efficiency,
    "amdahl_serial_fraction": capacity.amdahl_serial_fraction,
    "geometric_mean_of_equals": geometric_mean_of_equals,
}
"""Name in a check -> what it computes. Nothing else can be called."""
