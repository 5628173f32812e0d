"""Bounds from bandwidth and compute: what no implementation can beat.

The model is the roofline (Williams et al., 2009): decoding one token reads every active weight
and the KV cache once, so bytes over bandwidth bound it; prefill does two floating-point
operations per weight and token, so operations over peak compute bound it.
"""

from inferometer.economics.architecture import Architecture
from inferometer.economics.guards import positive


def dram_bandwidth(transfers_per_s: float, channels: float, bus_bits: float = 64) -> float:
    """Peak bytes per second of memory: transfers x channels x bus width / 8."""
    return transfers_per_s * channels * bus_bits / 8


def decode_ceiling(bandwidth: float, bytes_per_step: float, batch: float = 1) -> float:
    """Tokens per second that `bandwidth` allows when a step of `batch` tokens reads the bytes once.

    An upper bound: no computation, no launch cost, full bandwidth.
    """
    positive(bandwidth=bandwidth, bytes_per_step=bytes_per_step)
    return batch * bandwidth / bytes_per_step


def decode_bandwidth(tokens_per_s: float, bytes_per_step: float) -> float:
    """Bytes per second that decoding one sequence at `tokens_per_s` must read."""
    return tokens_per_s * bytes_per_step


def prefill_flops(architecture: Architecture, tokens: float, layer_params: float) -> float:
    """Operations of a prefill: 2 per layer weight and token, plus causal attention.

    `layer_params` leaves out the embedding and the output head, of which prefill needs one
    position only. Attention adds 2 x n^2 x heads x head size per layer, causal (half of the
    full 4 x n^2).
    """
    attention = 2 * tokens**2 * architecture.heads * architecture.head_dim * architecture.layers
    return 2 * layer_params * tokens + attention


def prefill_seconds(flops: float, peak_flops_per_s: float) -> float:
    """The least time that the operations can take at peak compute."""
    positive(peak_flops_per_s=peak_flops_per_s)
    return flops / peak_flops_per_s


def ridge_intensity(peak_flops_per_s: float, bandwidth: float) -> float:
    """Operations per byte above which compute, not bandwidth, is the limit."""
    positive(bandwidth=bandwidth)
    return peak_flops_per_s / bandwidth


def offload_seconds(
    gpu_bytes: float, gpu_bandwidth: float, cpu_bytes: float, cpu_bandwidth: float
) -> float:
    """Time of one decode step with layers on two devices.

    Layers depend on one another, so the times of the devices add; they never overlap for one
    sequence.
    """
    positive(gpu_bandwidth=gpu_bandwidth, cpu_bandwidth=cpu_bandwidth)
    return gpu_bytes / gpu_bandwidth + cpu_bytes / cpu_bandwidth


def speculative_speedup(acceptance: float, drafted: float, draft_cost: float) -> float:
    """Expected speed-up of speculative decoding (Leviathan et al., 2023, theorem 3.8).

    (1 - a^(g+1)) / ((1 - a)(g c + 1)) for acceptance a in [0, 1), g drafted tokens, and a draft
    step that costs c of a target step.
    """
    if not 0 <= acceptance < 1:
        raise ValueError(f"acceptance must be in [0, 1), got {acceptance:g}")
    produced = (1 - acceptance ** (drafted + 1)) / (1 - acceptance)
    return float(produced / (drafted * draft_cost + 1))
