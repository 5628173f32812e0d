"""Prefill and decode, apart: the loop, its clock, its memory, and what the KV cache holds.

Boundaries: prompt ids lie on the device before prefill starts. Prefill is one forward pass over
the whole prompt and the argmax that gives the first token. Decode is every further pass, each fed
with the argmax before, which never leaves the device. Reading memory, handing freed memory back and
turning tokens into numbers are outside both.
"""

import inspect
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel, StaticCache
from transformers_clock import CudaClock, HostClock
from transformers_memory import CudaMemory, HostMemory, is_out_of_memory

Step = Callable[[], None]
TEXT_LIMIT = 2000
"""Characters kept of an error's message, and of its traceback, whose end says where."""


@dataclass
class Sequence:
    """One sequence on its way: all its ids so far, the newest, and the cache (`None` without)."""

    ids: torch.Tensor
    newest: torch.Tensor
    cache: Any


class Phases:
    """Runs one sequence at a time through a loaded model."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        compile: str = "none",
        dynamic_shapes: bool = True,
        cache: str = "dynamic",
    ) -> None:
        self.model, self.cache_kind = model, cache
        self.device = next(model.parameters()).device
        on_gpu = self.device.type == "cuda"
        self.clock = CudaClock() if on_gpu else HostClock()
        self.memory = CudaMemory(self.device) if on_gpu else HostMemory()
        self.marks_steps = compile == "reduce-overhead"
        self.forward = model.forward
        self.options: dict[str, Any] = {}
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            self.options["logits_to_keep"] = 1
        self.compiler = None
        if compile != "none":
            from transformers_compile import Compiler  # loads torch's compiler, which eager spares

            self.compiler = Compiler(model.forward, compile, dynamic_shapes)
            self.forward = self.compiler.forward

    @torch.inference_mode()
    def generate(self, prompt: list[int], output_tokens: int, cached: bool) -> dict[str, Any]:
        """One prompt, `output_tokens` tokens: a record for each phase, and the tokens."""
        answer = self._generate(prompt, output_tokens, cached)
        self.memory.release()
        return answer

    @torch.inference_mode()
    def hold(self, part: str, seconds: float, prompt: list[int], output_tokens: int) -> dict:
        """Keep one phase (or idleness) going for at least `seconds`, for a meter to see.

        The prefill that decode needs comes before the window. When decode has made its tokens, the
        cache is cut back to the prompt and it starts again.
        """
        window = Window(part, seconds)
        try:
            if part == "idle":
                window.open()
                time.sleep(seconds)
            elif part == "prefill":
                self._hold_prefill(window, prompt)
            else:
                self._hold_decode(window, prompt, output_tokens)
        except Exception as error:
            window.status, window.error = _failure(error)
        record = window.close()
        self.memory.release()
        return record

    def _generate(self, prompt: list[int], output_tokens: int, cached: bool) -> dict[str, Any]:
        sequence = self._begin(prompt, output_tokens, cached)
        outputs: list[torch.Tensor] = []

        def step() -> None:
            self._step(sequence)
            outputs.append(sequence.newest)

        parts = [self._part("prefill", len(prompt), 1, step, sequence)]
        if parts[0]["status"] == "ok" and output_tokens > 1:
            steps = output_tokens - 1
            parts.append(self._part("decode", steps, steps, step, sequence))
        return {"parts": parts, "output_ids": [int(token) for token in outputs]}

    def _hold_prefill(self, window: "Window", prompt: list[int]) -> None:
        sequence = self._begin(prompt, 1, cached=True)
        ids = sequence.newest
        window.open()
        while window.is_open():
            sequence.ids = sequence.newest = ids
            sequence.cache = self._new_cache(ids.shape[1])
            self._step(sequence)
            self._wait()
            window.count(ids.shape[1])

    def _hold_decode(self, window: "Window", prompt: list[int], output_tokens: int) -> None:
        sequence = self._begin(prompt, output_tokens, cached=True)
        self._step(sequence)
        self._wait()
        first = sequence.newest
        window.open()
        while window.is_open():
            sequence.newest = first
            for _ in range(output_tokens - 1):
                self._step(sequence)
            self._wait()
            window.count(output_tokens - 1)
            cut_back(sequence.cache, output_tokens - 1)

    def _begin(self, prompt: list[int], output_tokens: int, cached: bool) -> Sequence:
        ids = torch.tensor([prompt], device=self.device)
        # the last token is never fed back
        cache = self._new_cache(len(prompt) + output_tokens - 1) if cached else None
        return Sequence(ids, ids, cache)

    def _new_cache(self, longest: int) -> Any:
        if self.cache_kind == "static":
            return StaticCache(config=self.model.config, max_cache_len=longest)
        return DynamicCache(config=self.model.config)

    def _step(self, sequence: Sequence) -> None:
        """One forward pass and its argmax; without a cache the whole sequence runs again."""
        if self.marks_steps:
            torch.compiler.cudagraph_mark_step_begin()
        cached = sequence.cache is not None
        if not cached and sequence.newest is not sequence.ids:
            sequence.ids = torch.cat([sequence.ids, sequence.newest], dim=1)
        answer = self.forward(
            input_ids=sequence.newest if cached else sequence.ids,
            past_key_values=sequence.cache,
            use_cache=cached,
            **self.options,
        )
        sequence.newest = answer.logits[:, -1].argmax(-1, keepdim=True)

    def _part(
        self, part: str, tokens: int, steps: int, step: Step, sequence: Sequence
    ) -> dict[str, Any]:
        status, text = "ok", None
        self._compiler_did()
        base = self.memory.begin()
        self.clock.start()
        try:
            for _ in range(steps):
                step()
                self.clock.mark()
        except Exception as error:
            status, text = _failure(error)
        started_s, step_s = self._stop(status)
        layers = kv_bytes_by_layer(sequence.cache)
        return {
            "part": part,
            "tokens": tokens if part == "prefill" else len(step_s),
            "started_s": started_s,
            "wall_s": sum(step_s) if status == "ok" else time.monotonic() - started_s,
            "step_s": step_s if part == "decode" else [],
            "base_bytes": base,
            "peak_bytes": self.memory.peak(),
            "kv_bytes": sum(layers),
            "kv_bytes_by_layer": layers,
            "status": status,
            "error": text,
            **self._compiler_did(),
        }

    def _compiler_did(self) -> dict[str, Any]:
        """What the compiler did since the last call; nothing to say where nothing is compiled."""
        return self.compiler.activity() if self.compiler else {}

    def _stop(self, status: str) -> tuple[float, list[float]]:
        try:
            return self.clock.stop()
        except RuntimeError:
            if status == "ok":
                raise
            return time.monotonic(), []  # a GPU that failed has no event times either

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Window:
    """A stretch of one kind of work, counted."""

    def __init__(self, part: str, seconds: float) -> None:
        self.part, self.seconds = part, seconds
        self.started_s: float | None = None
        self.passes = self.tokens = 0
        self.status = "ok"
        self.error: str | None = None

    def open(self) -> None:
        """The window starts now."""
        self.started_s = time.monotonic()

    def is_open(self) -> bool:
        """Whether its time is not over."""
        return self.started_s is not None and time.monotonic() < self.started_s + self.seconds

    def count(self, tokens: int) -> None:
        """One more pass, of so many tokens."""
        self.passes += 1
        self.tokens += tokens

    def close(self) -> dict[str, Any]:
        """The record."""
        now = time.monotonic()
        started_s = now if self.started_s is None else self.started_s
        return {
            "part": self.part,
            "started_s": started_s,
            "wall_s": now - started_s,
            "passes": self.passes,
            "tokens": self.tokens,
            "status": self.status,
            "error": self.error,
        }


def kv_bytes_by_layer(cache: Any) -> list[int]:
    """Bytes of memory behind each layer's keys and values; shared memory counts once."""
    found = []
    for layer in cache.layers if cache is not None else []:
        tensors = [layer.keys, layer.values] if layer.is_initialized else []
        storages = [tensor.untyped_storage() for tensor in tensors]
        found.append(sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values()))
    return found


def cut_back(cache: Any, tokens: int) -> None:
    """Forget the last `tokens` of a cache, in place."""
    for layer in cache.layers:
        if isinstance(cache, StaticCache):
            layer.cumulative_length.sub_(tokens)  # what lies beyond is masked, then overwritten
        else:
            layer.crop(-tokens)


def _failure(error: Exception) -> tuple[str, str]:
    """The status of a failed part, and its message; of what is no lack of memory, the traceback."""
    text = f"{type(error).__name__}: {error}"[:TEXT_LIMIT]
    if is_out_of_memory(error):
        return "oom", text
    return "error", f"{text}\n{''.join(traceback.format_tb(error.__traceback__))[-TEXT_LIMIT:]}"
