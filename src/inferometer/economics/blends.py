"""Blends: how the tokens of a kind of work split into input and output."""

from dataclasses import dataclass

from inferometer.economics.guards import positive


@dataclass(frozen=True)
class Blend:
    """A kind of work; `input_share` of its tokens are prompt, the rest generated."""

    name: str
    title: str
    input_share: float


BLENDS = {
    blend.name: blend
    for blend in (
        Blend("rag", "Retrieval-augmented answers", 0.95),
        Blend("summarization", "Summaries of long documents", 0.85),
        Blend("chat", "Chat", 0.67),
        Blend("balanced", "As much output as input", 0.50),
        Blend("code", "Code generation", 0.25),
        Blend("classification", "Labels for documents", 0.99),
    )
}
"""The six workload types of published source s001, appendix F, in its order."""
DEFAULT_BLEND = "chat"


def blended_cost(input_share: float, prefill: float, decode: float) -> float:
    """Cost of a token of the blend: r prefill + (1 - r) decode, any cost per token.

    Costs, times and energies per token average arithmetically.
    """
    _share(input_share)
    return input_share * prefill + (1 - input_share) * decode


def blended_rate(input_share: float, prefill_per_s: float, decode_per_s: float) -> float:
    """Tokens per second of the blend: the harmonic mean 1 / (r/prefill + (1 - r)/decode)."""
    positive(prefill_per_s=prefill_per_s, decode_per_s=decode_per_s)
    return 1 / blended_cost(input_share, 1 / prefill_per_s, 1 / decode_per_s)


def _share(input_share: float) -> None:
    if not 0 <= input_share <= 1:
        raise ValueError(f"input_share must be in [0, 1], got {input_share:g}")
