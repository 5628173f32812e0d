"""Peak memory of a prefill against its context, and the longest context that fits.

Weights and KV cache are held; on top come the larger of what a layer needs while it runs
(activations, and scores quadratic in the tokens where attention is eager) and the logits, which
are computed when the layers are done. All in bytes, for one sequence.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inferometer.economics import kv
from inferometer.economics.architecture import Architecture
from inferometer.economics.guards import positive
from inferometer.economics.memory import attention_score_bytes, kv_bytes

LOGIT_BYTES = 4
"""Logits are counted in float32, into which samplers and losses convert them."""
SOFTMAX_BYTES = 4


@dataclass(frozen=True)
class ScoreCopy:
    """One tensor of heads x tokens x tokens that is alive at the peak, and why it is."""

    bytes_per_score: float
    reason: str


def eager_copies(value_bytes: float, device: Literal["cpu", "cuda"]) -> tuple[ScoreCopy, ...]:
    """The score tensors that eager attention in Transformers holds at once, in inference.

    The peak is at the softmax, which is taken in float32. A float32 model needs no conversion. On
    a CPU, torch converts narrower scores first and holds both; on CUDA its softmax reads them as
    they are, and the peak is where the result is cast back. Observed on a CPU (torch 2.13,
    Transformers 5.19: 8 and 10 bytes a score); other code needs its own tuple.
    """
    positive(value_bytes=value_bytes)
    scores = ScoreCopy(value_bytes, "scaled and masked scores, in the model's type")
    softmax = ScoreCopy(SOFTMAX_BYTES, "softmax, in float32")
    if value_bytes == SOFTMAX_BYTES:
        return scores, softmax
    if device == "cpu":
        return scores, ScoreCopy(SOFTMAX_BYTES, "scores converted to float32"), softmax
    return scores, softmax, ScoreCopy(value_bytes, "probabilities, cast to the model's type")


@dataclass(frozen=True)
class MemoryModel:
    """What decides the peak memory of one model on one device.

    `weight_bytes` as they lie in memory; `value_bytes` of a number in the model's type;
    `base_bytes` what the runtime holds besides (loaded memory less weights);
    `activation_bytes_per_token` the buffers of one layer, 0 to leave them out: the prediction is
    then a lower limit. `score_copies` is empty where attention never writes its scores out.
    """

    architecture: Architecture
    weight_bytes: float
    value_bytes: float
    vocabulary: int
    score_copies: tuple[ScoreCopy, ...] = ()
    activation_bytes_per_token: float = 0.0
    base_bytes: float = 0.0
    logits: Literal["last position", "all positions"] = "last position"

    def __post_init__(self) -> None:
        positive(
            weight_bytes=self.weight_bytes,
            value_bytes=self.value_bytes,
            vocabulary=self.vocabulary,
        )
        if self.base_bytes < 0 or self.activation_bytes_per_token < 0:
            raise ValueError("base_bytes and activation_bytes_per_token must be at least 0")


def of_worker(
    name: str,
    facts: Mapping[str, Any],
    *,
    value_bytes: float,
    device: Literal["cpu", "cuda"],
    eager: bool,
    activation_bytes_per_token: float = 0.0,
) -> MemoryModel:
    """The memory model of a worker, from what it says of itself.

    Its weights and whatever the runtime holds besides are what was in use after loading. Raises
    `UserError` for a fact of its architecture that is missing.
    """
    architecture = kv.from_facts(name, facts)
    weights, loaded = float(facts["weight_bytes"]), float(facts["loaded_bytes"])
    return MemoryModel(
        architecture=architecture,
        weight_bytes=min(weights, loaded),
        value_bytes=value_bytes,
        vocabulary=int(facts["vocabulary"]),
        score_copies=eager_copies(value_bytes, device) if eager else (),
        activation_bytes_per_token=activation_bytes_per_token,
        base_bytes=max(0.0, loaded - weights),
    )


@dataclass(frozen=True)
class MemoryAt:
    """Predicted peak of a prefill of `tokens`, in parts.

    `all_logits` is what the logits of every position take, for comparison; it counts only where
    the model computes them (then it equals `logits`).
    """

    tokens: int
    base: float
    weights: float
    kv: float
    activations: float
    scores: float
    logits: float
    all_logits: float

    @property
    def peak(self) -> float:
        """What is held, and the larger of a layer's needs and the logits."""
        held = self.base + self.weights + self.kv
        return held + max(self.activations + self.scores, self.logits)


def predict(model: MemoryModel, tokens: int) -> MemoryAt:
    """Predict the peak of a prefill of `tokens`.

    Scores are those of one layer, since layers run one after another; eager attention also reads
    a mask of tokens x tokens in the model's type.
    """
    positive(tokens=tokens)
    scores = sum(
        attention_score_bytes(model.architecture.heads, tokens, copy.bytes_per_score)
        for copy in model.score_copies
    )
    if model.score_copies:
        scores += attention_score_bytes(1, tokens, model.value_bytes)
    one_position = model.vocabulary * LOGIT_BYTES
    return MemoryAt(
        tokens=tokens,
        base=model.base_bytes,
        weights=model.weight_bytes,
        kv=kv_bytes(model.architecture, tokens, model.value_bytes),
        activations=model.activation_bytes_per_token * tokens,
        scores=scores,
        logits=one_position * (tokens if model.logits == "all positions" else 1),
        all_logits=one_position * tokens,
    )


@dataclass(frozen=True)
class LargestContext:
    """The longest context within a share of the capacity, and what stops it there.

    `tokens` is 0 and `bound` "weights" where not even one token fits; `predicted` is then `None`.
    """

    share: float
    budget_bytes: float
    tokens: int
    bound: Literal["memory", "model", "weights"]
    predicted: MemoryAt | None


def largest_context(model: MemoryModel, capacity_bytes: float, share: float) -> LargestContext:
    """Search the longest context whose predicted peak stays within `share` of the capacity.

    The peak grows with every token, so halving finds it. Never beyond the model's own context.
    """
    positive(capacity_bytes=capacity_bytes)
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {share:g}")
    budget, limit = share * capacity_bytes, model.architecture.positions
    tokens = bisect_right(range(1, limit + 1), budget, key=lambda n: predict(model, n).peak)
    if tokens == 0:
        return LargestContext(share, budget, 0, "weights", None)
    bound: Literal["memory", "model"] = "model" if tokens == limit else "memory"
    return LargestContext(share, budget, tokens, bound, predict(model, tokens))
