"""What a block measured of a cell, and work as tokens of two phases."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from inferometer.economics.blends import Blend, blended_cost


def _check(name: str, value: float, *, above_zero: bool) -> None:
    if not isfinite(value) or value < 0 or (above_zero and value == 0):
        raise ValueError(f"{name} must be {'above' if above_zero else 'at least'} 0, got {value:g}")


@dataclass(frozen=True)
class PhaseBlock:
    """One block's seconds per token, and joules per token where its energy was measured.

    Joules are those of the whole device during the phase, idle power included; `idle_w` is its
    power without work. The values belong to one cell: decode gets slower with the context.
    """

    prefill_s: float
    decode_s: float
    prefill_j: float | None = None
    decode_j: float | None = None
    idle_w: float | None = None

    def __post_init__(self) -> None:
        for name in ("prefill_s", "decode_s"):
            _check(name, getattr(self, name), above_zero=True)
        for name in ("prefill_j", "decode_j", "idle_w"):
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), above_zero=False)


Blocks = Mapping[int, PhaseBlock]


@dataclass(frozen=True)
class Work:
    """Tokens that pass through prefill and tokens that decode steps give."""

    prefill_tokens: float
    decode_tokens: float

    def __post_init__(self) -> None:
        _check("prefill_tokens", self.prefill_tokens, above_zero=False)
        _check("decode_tokens", self.decode_tokens, above_zero=False)

    def times(self, count: float) -> "Work":
        """The same work `count` times."""
        return Work(self.prefill_tokens * count, self.decode_tokens * count)

    def seconds(self, block: PhaseBlock) -> float:
        """Time of the work at the speed of a block."""
        return self.prefill_tokens * block.prefill_s + self.decode_tokens * block.decode_s

    def joules(self, block: PhaseBlock) -> float | None:
        """Energy of the work at that of a block; `None` where a phase it uses was not measured."""
        parts = ((self.prefill_tokens, block.prefill_j), (self.decode_tokens, block.decode_j))
        total = 0.0
        for tokens, per_token in parts:
            if tokens and per_token is None:
                return None
            total += tokens * (per_token or 0.0)
        return total


PREFILL = Work(1e6, 0)
"""A million tokens of prompt."""
DECODE = Work(0, 1e6)
"""A million tokens from decode steps."""


def million(blend: Blend) -> Work:
    """A million tokens of a blend."""
    return Work(blended_cost(blend.input_share, 1e6, 0), blended_cost(blend.input_share, 0, 1e6))


def request(prompt_tokens: int, output_tokens: int) -> Work:
    """One request; its first output token comes from prefill, so decode gives one fewer."""
    if prompt_tokens < 1 or output_tokens < 1:
        raise ValueError("a request has at least one prompt token and one output token")
    return Work(prompt_tokens, output_tokens - 1)
