"""How much work fits into how much time, and what sharing a server leaves of it."""

from collections.abc import Sequence
from math import exp, log

from inferometer.economics.guards import positive


def request_seconds(
    prompt_tokens: float, output_tokens: float, prefill_per_s: float, decode_per_s: float
) -> float:
    """Time of one request alone: its prompt at prefill speed, its output at decode speed."""
    positive(prefill_per_s=prefill_per_s, decode_per_s=decode_per_s)
    return prompt_tokens / prefill_per_s + output_tokens / decode_per_s


def decode_share(
    prompt_tokens: float, output_tokens: float, prefill_per_s: float, decode_per_s: float
) -> float:
    """The part of a request's time that decoding takes."""
    total = request_seconds(prompt_tokens, output_tokens, prefill_per_s, decode_per_s)
    return output_tokens / decode_per_s / total


def machines_needed(work_s: float, window_s: float) -> float:
    """Machines, as a fraction, that finish `work_s` seconds of serial work inside the window."""
    positive(window_s=window_s)
    return work_s / window_s


def utilisation(rate_per_s: float, service_s: float, servers: float = 1) -> float:
    """Offered load rho; at 1 or above no steady state exists."""
    positive(servers=servers)
    return rate_per_s * service_s / servers


def in_flight(rate_per_s: float, latency_s: float) -> float:
    """Little's law: the mean number of requests inside the system."""
    return rate_per_s * latency_s


def amdahl_speedup(serial_fraction: float, n: float) -> float:
    """Total throughput over that of one agent: 1 / (s + (1 - s)/n); its limit is 1/s."""
    _fraction(serial_fraction)
    positive(n=n)
    return 1 / (serial_fraction + (1 - serial_fraction) / n)


def amdahl_efficiency(serial_fraction: float, n: float) -> float:
    """Per-agent throughput over that of one agent: 1 / (1 + s (n - 1)), the speed-up over n."""
    return amdahl_speedup(serial_fraction, n) / n


def amdahl_serial_fraction(efficiency: float, n: float) -> float:
    """The serial fraction that an efficiency at n agents implies: (1/eta - 1) / (n - 1)."""
    positive(efficiency=efficiency)
    if n <= 1:
        raise ValueError(f"n must be above 1, got {n:g}")
    return (1 / efficiency - 1) / (n - 1)


def usl_throughput(n: float, gamma: float, alpha: float, beta: float) -> float:
    """Universal Scalability Law: gamma n / (1 + alpha (n - 1) + beta n (n - 1)) (Gunther)."""
    return gamma * n / (1 + alpha * (n - 1) + beta * n * (n - 1))


def weighted_geometric_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Product of value^weight to the power 1 / sum of weights; 0 when a weighted value is 0.

    Stays between the smallest and the largest value. Raises `ValueError` for unequal lengths,
    negative values, or weights that are negative or sum to 0.
    """
    if len(values) != len(weights):
        raise ValueError(f"{len(values)} values but {len(weights)} weights")
    if any(value < 0 for value in values) or any(weight < 0 for weight in weights):
        raise ValueError("values and weights must not be negative")
    total = sum(weights)
    positive(sum_of_weights=total)
    if any(value == 0 and weight > 0 for value, weight in zip(values, weights, strict=True)):
        return 0.0
    logs = (weight * log(v) for v, weight in zip(values, weights, strict=True) if weight)
    return exp(sum(logs) / total)


def _fraction(value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"the serial fraction must be in [0, 1], got {value:g}")
