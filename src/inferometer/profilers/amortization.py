"""How far N sequences share calls that one sequence needs alone, and how not to compute it."""

from __future__ import annotations

from dataclasses import dataclass
from math import log


@dataclass(frozen=True)
class Load:
    """Calls (kernels, launches, operators) of one trace, and the tokens that each sequence made."""

    sequences: int
    tokens_per_sequence: int
    calls: int

    @property
    def calls_per_token(self) -> float:
        """Calls over all tokens of all sequences."""
        return self.calls / (self.sequences * self.tokens_per_sequence)


@dataclass(frozen=True)
class Amortization:
    """`factor` is calls per token of one sequence over those of N; `maximum` is N.

    The maximum is reached when a step of N sequences takes as many calls as a step of one.
    `share` is (factor - 1) / (N - 1): 0 when nothing is shared, 1 at the maximum.
    """

    factor: float
    maximum: int
    share: float


@dataclass(frozen=True)
class Denominator:
    """A ratio of calls per token as the product of its two ratios.

    `from_tokens` is the part of the ratio's logarithm that the tokens make alone; 1 means that no
    call was saved and the traces merely divide by different counts. None when the ratio is 1.
    """

    ratio: float
    calls_ratio: float
    tokens_ratio: float
    from_tokens: float | None


def amortization(one: Load, many: Load) -> Amortization:
    """Amortization of N sequences against one, from equal tokens per sequence.

    Raises
    ------
    ValueError
        `one` has more than one sequence, `many` has fewer than two, there are no calls, or the
        tokens per sequence differ: the factor would then be a ratio of token counts in disguise.
    """
    _counted(one, many)
    if one.sequences != 1 or many.sequences < 2:
        raise ValueError(
            f"sequences: 1 and 2 or more needed, got {one.sequences}, {many.sequences}"
        )
    if one.tokens_per_sequence != many.tokens_per_sequence:
        raise ValueError(
            f"tokens_per_sequence: {one.tokens_per_sequence} and {many.tokens_per_sequence} "
            "differ; amortization needs equal tokens"
        )
    factor = one.calls_per_token / many.calls_per_token
    return Amortization(factor, many.sequences, (factor - 1) / (many.sequences - 1))


def denominator(one: Load, many: Load) -> Denominator:
    """Take a ratio of calls per token apart into its calls and its tokens.

    calls_1/tokens_1 : calls_N/tokens_N = (calls_1/calls_N) x (tokens_N/tokens_1). Calls of load
    and warm-up are the same at any N, so a trace that holds them shows "amortization" of about
    tokens_N/tokens_1 even where no call of the steady state is shared.
    """
    _counted(one, many)
    calls = one.calls / many.calls
    tokens = (many.sequences * many.tokens_per_sequence) / (one.sequences * one.tokens_per_sequence)
    ratio = calls * tokens
    share = log(tokens) / log(ratio) if ratio != 1 else None
    return Denominator(ratio, calls, tokens, share)


def _counted(*loads: Load) -> None:
    for load in loads:
        if min(load.sequences, load.tokens_per_sequence, load.calls) <= 0:
            raise ValueError(f"sequences, tokens and calls must be above 0, got {load}")
