"""Memory that a model needs: weights, KV cache, and a plan that adds up or says by how much not.

Sizes are in bytes, and GB means 10^9 bytes, as vendors and model hubs count.
"""

from dataclasses import dataclass

from inferometer.economics.architecture import Architecture
from inferometer.economics.guards import positive


def weight_bytes(params: float, bits_per_weight: float) -> float:
    """Bytes of the weights alone; 8.5 bits per weight is Q8_0, 16 is FP16."""
    positive(params=params, bits_per_weight=bits_per_weight)
    return params * bits_per_weight / 8


def bits_per_weight(size_bytes: float, params: float) -> float:
    """The bits per weight that a file or memory of `size_bytes` implies."""
    positive(params=params)
    return size_bytes * 8 / params


def kv_bytes_per_token(architecture: Architecture, bytes_per_value: float) -> float:
    """KV-cache bytes of one token of one sequence: 2 x layers x KV heads x head size x bytes."""
    positive(bytes_per_value=bytes_per_value)
    a = architecture
    return 2 * a.kv_layers * a.kv_heads * a.head_dim * bytes_per_value


def kv_bytes(
    architecture: Architecture, tokens: float, bytes_per_value: float, sequences: float = 1
) -> float:
    """KV-cache bytes of `sequences` sequences of `tokens` tokens each."""
    return kv_bytes_per_token(architecture, bytes_per_value) * tokens * sequences


def tokens_that_fit(architecture: Architecture, free_bytes: float, bytes_per_value: float) -> float:
    """Tokens, over all sequences, whose KV cache fills `free_bytes`; 0 when nothing is free."""
    return max(0.0, free_bytes) / kv_bytes_per_token(architecture, bytes_per_value)


def kv_crossover_tokens(architecture: Architecture, bits: float, bytes_per_value: float) -> float:
    """Context at which the KV cache of one sequence is as large as the weights."""
    return weight_bytes(architecture.params, bits) / kv_bytes_per_token(
        architecture, bytes_per_value
    )


def attention_score_bytes(heads: float, tokens: float, bytes_per_score: float) -> float:
    """Bytes of the score matrices of one layer when attention writes them out: heads x n^2."""
    return heads * tokens**2 * bytes_per_score


@dataclass(frozen=True)
class MemoryPlan:
    """What a deployment asks of one memory, in bytes."""

    capacity: float
    weights: float
    kv: float
    activations: float
    buffers: float

    @property
    def needed(self) -> float:
        """The sum of the parts."""
        return self.weights + self.kv + self.activations + self.buffers

    @property
    def free(self) -> float:
        """What is left; negative when the plan does not fit."""
        return self.capacity - self.needed

    @property
    def fits(self) -> bool:
        """Whether the sum stays within the capacity."""
        return self.free >= 0


def plan(
    architecture: Architecture,
    *,
    capacity: float,
    bits: float,
    tokens: float,
    bytes_per_value: float = 2,
    sequences: float = 1,
    activations: float = 0,
    buffers: float = 0,
) -> MemoryPlan:
    """Plan the memory of one model: its weights at `bits`, and the KV cache of its sequences.

    Raises `ValueError` for a part below zero: a negative buffer is an over-commitment in disguise.
    """
    parts = {"capacity": capacity, "activations": activations, "buffers": buffers}
    for name, value in parts.items():
        if value < 0:
            raise ValueError(f"{name} is {value:g} bytes; memory cannot be negative")
    return MemoryPlan(
        capacity=capacity,
        weights=weight_bytes(architecture.params, bits),
        kv=kv_bytes(architecture, tokens, bytes_per_value, sequences),
        activations=activations,
        buffers=buffers,
    )
