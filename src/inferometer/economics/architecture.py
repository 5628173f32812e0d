"""What a model's shape decides before it is run: the facts that the memory arithmetic needs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """A decoder, as its configuration file describes it.

    `params` counts every weight, `active_params` those that one token passes through (equal for
    dense models). `kv_layers` is the number of layers that keep a KV cache: all of them, except
    in hybrid models whose linear-attention layers keep a fixed state instead. `positions` is the
    longest sequence that the model accepts, prompt and output together.
    """

    name: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    params: float
    active_params: float
    kv_layers: int
    positions: int
