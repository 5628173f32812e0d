"""The forward passes of a run: counted, named to a profiler, and the greedy loop that makes them.

A step is one forward pass, its argmax and the reading of the new tokens: in every control the
tokens reach the host at each step, as a server that streams them must do it.
"""

import functools
import inspect
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import record_function
from transformers import DynamicCache, PreTrainedModel


class Forwards:
    """Counts the passes through one model's forward, by how many sequences each carried."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.sizes: Counter[int] = Counter()
        lock = threading.Lock()
        forward = model.forward

        @functools.wraps(forward)  # its signature is looked at
        def counted(*args: Any, **kwargs: Any) -> Any:
            with lock:
                self.sizes[_sequences(kwargs)] += 1
            return forward(*args, **kwargs)

        model.forward = counted

    def reset(self) -> None:
        """A new run."""
        self.sizes.clear()


def _sequences(inputs: dict[str, Any]) -> int:
    """How many sequences a forward carries; those of a paged batch lie end to end in one row."""
    if "cu_seq_lens_q" in inputs:
        return len(inputs["cu_seq_lens_q"]) - 1
    return len(inputs["input_ids"])


@dataclass(frozen=True)
class Generated:
    """One sequence; times are seconds of CLOCK_MONOTONIC."""

    started_s: float
    first_s: float
    ended_s: float
    output_ids: list[int]


@torch.inference_mode()
def generate(
    model: PreTrainedModel, prompts: list[list[int]], output_tokens: int
) -> list[Generated]:
    """Greedy decoding of prompts of one length as one batch, `output_tokens` each."""
    started_s = time.monotonic()
    options = _last_logits_only(model)
    cache = DynamicCache(config=model.config)
    rows: list[list[int]] = []

    def step(ids: torch.Tensor) -> torch.Tensor:
        answer = model(input_ids=ids, past_key_values=cache, use_cache=True, **options)
        newest = answer.logits[:, -1].argmax(-1, keepdim=True)
        rows.append(newest[:, 0].tolist())
        return newest

    with record_function("phase/prefill"):
        newest = step(torch.tensor(prompts, device=model.device))
    first_s = time.monotonic()
    for _ in range(output_tokens - 1):
        with record_function("phase/decode"):
            newest = step(newest)
    ended_s = time.monotonic()
    return [
        Generated(started_s, first_s, ended_s, list(outputs)) for outputs in zip(*rows, strict=True)
    ]


def _last_logits_only(model: PreTrainedModel) -> dict[str, int]:
    known = inspect.signature(model.forward).parameters
    return {"logits_to_keep": 1} if "logits_to_keep" in known else {}
