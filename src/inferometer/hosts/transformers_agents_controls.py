"""How N sequences run in one process without a scheduler: one by one, in threads, as one batch."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel
from transformers_agents_forward import Forwards, Generated, generate

Release = Callable[[], list[Generated]]
"""Lets the prepared sequences go and returns them when all are made."""


class Control(Protocol):
    """One way to run N sequences in this process."""

    forwards: Forwards

    def prepare(self, prompts: list[list[int]], output_tokens: int) -> Release:
        """All that may be done before the sequences are released."""


class Serial:
    """First come, first served: what a serial server does, without a server."""

    def __init__(self, model: PreTrainedModel, _options: dict[str, Any]) -> None:
        self.model, self.forwards = model, Forwards(model)

    def prepare(self, prompts: list[list[int]], output_tokens: int) -> Release:
        """Nothing."""
        return lambda: [
            each for prompt in prompts for each in generate(self.model, [prompt], output_tokens)
        ]


class Batch:
    """One batch of N sequences, one forward for all of them at each step."""

    def __init__(self, model: PreTrainedModel, _options: dict[str, Any]) -> None:
        self.model, self.forwards = model, Forwards(model)

    def prepare(self, prompts: list[list[int]], output_tokens: int) -> Release:
        """Nothing."""
        return lambda: generate(self.model, prompts, output_tokens)


class Threads:
    """N threads that share one model, one sequence each.

    They share the worker's torch threads as processes do: each may use max(1, threads // N).
    """

    def __init__(self, model: PreTrainedModel, options: dict[str, Any]) -> None:
        self.model, self.forwards = model, Forwards(model)
        self.threads = options["threads"]
        self.pool = ThreadPoolExecutor(max_workers=options["most_threads"])

    def prepare(self, prompts: list[list[int]], output_tokens: int) -> Release:
        """Every thread waits at a barrier."""
        barrier = threading.Barrier(len(prompts) + 1)
        share = max(1, self.threads // len(prompts))

        def one(prompt: list[int]) -> list[Generated]:
            torch.set_num_threads(share)  # of this thread
            barrier.wait()
            return generate(self.model, [prompt], output_tokens)

        running = [self.pool.submit(one, prompt) for prompt in prompts]
        while barrier.n_waiting < len(prompts):
            time.sleep(0.001)

        def release() -> list[Generated]:
            barrier.wait()
            errors = [future.exception() for future in running]
            torch.set_num_threads(self.threads)
            if error := next((each for each in errors if each is not None), None):
                raise error
            return [each for future in running for each in future.result()]

        return release
