"""The KV cache from a model's shape: bytes, what sharing heads saves, where it outweighs the model.

KV bytes = 2 x layers x sequences x tokens x KV heads x head size x bytes per value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from inferometer.artifacts import catalog
from inferometer.economics.architecture import Architecture
from inferometer.economics.guards import positive
from inferometer.economics.memory import kv_bytes, kv_bytes_per_token
from inferometer.errors import UserError

NEEDED = ("layers", "heads", "kv_heads", "head_dim", "hidden", "parameters", "context")


def from_catalog(
    name: str, entry: catalog.Architecture | None, parameters: float, context: int | None = None
) -> Architecture:
    """The shape of a catalogued model; `context` wins over the catalog's, which may not state one.

    Raises `UserError` where the catalog has no architecture or nobody states the context.
    """
    facts = entry.model_dump() if entry else {}
    known = {**facts, "parameters": parameters}
    if context is not None:
        known["context"] = context
    return from_facts(name, known)


def from_facts(name: str, facts: Mapping[str, Any]) -> Architecture:
    """The shape of a model from facts by name, such as those that a worker reports.

    Every layer is taken to keep a cache. Raises `UserError` for a fact that is missing or not a
    number above 0; KV heads are never guessed from the heads.
    """
    for key in NEEDED:
        value = facts.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise UserError(
                f"{name}: {key} is {'missing' if value is None else f'{value!r}'}; KV bytes "
                "cannot be predicted without it. State it under `architectures` in the catalog, "
                "from the model's own config.json"
            )
    layers, heads, kv_heads = int(facts["layers"]), int(facts["heads"]), int(facts["kv_heads"])
    if heads % kv_heads:
        raise UserError(
            f"{name}: {heads} heads cannot share {kv_heads} KV heads evenly; correct the "
            "architecture from the model's own config.json"
        )
    return Architecture(
        name=name,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=int(facts["head_dim"]),
        hidden=int(facts["hidden"]),
        params=float(facts["parameters"]),
        active_params=float(facts["parameters"]),
        kv_layers=layers,
        positions=int(facts["context"]),
    )


def multi_head(architecture: Architecture) -> Architecture:
    """The same model with a KV head for every query head (MHA)."""
    return replace(architecture, kv_heads=architecture.heads)


@dataclass(frozen=True)
class GroupedSaving:
    """KV bytes of a sequence as the model is, and with a KV head for every query head."""

    tokens: int
    grouped_bytes: float
    multi_head_bytes: float

    @property
    def factor(self) -> float:
        """How many times as much MHA would need; 1 for MHA models."""
        return self.multi_head_bytes / self.grouped_bytes

    @property
    def saved_bytes(self) -> float:
        """Bytes that grouped-query attention saves at this context."""
        return self.multi_head_bytes - self.grouped_bytes


def grouped_saving(
    architecture: Architecture, tokens: int, bytes_per_value: float
) -> GroupedSaving:
    """What grouped-query attention saves against MHA at equal context (Ainslie et al., 2023)."""
    positive(tokens=tokens)
    return GroupedSaving(
        tokens,
        kv_bytes(architecture, tokens, bytes_per_value),
        kv_bytes(multi_head(architecture), tokens, bytes_per_value),
    )


@dataclass(frozen=True)
class Crossover:
    """The context at which one sequence's KV cache is as large as the weights.

    `reachable` says whether the model accepts so many tokens; `share_at_context` is KV bytes over
    weight bytes at the longest context that it does accept.
    """

    tokens: float
    context: int
    share_at_context: float

    @property
    def reachable(self) -> bool:
        """Whether the model accepts a sequence of that length."""
        return self.tokens <= self.context


def crossover(architecture: Architecture, weight_bytes: float, bytes_per_value: float) -> Crossover:
    """Weight bytes / KV bytes per token, with the weights as they lie in memory."""
    positive(weight_bytes=weight_bytes)
    per_token = kv_bytes_per_token(architecture, bytes_per_value)
    return Crossover(
        tokens=weight_bytes / per_token,
        context=architecture.positions,
        share_at_context=per_token * architecture.positions / weight_bytes,
    )


def prediction_error(predicted_bytes: float, allocated_bytes: float) -> float:
    """(predicted - allocated) / allocated: 0.01 is one per cent too much."""
    positive(allocated_bytes=allocated_bytes)
    return (predicted_bytes - allocated_bytes) / allocated_bytes
