"""Transformers' own continuous batching: one scheduler, one forward for all that are on their way.

Its forward is eager, as in every other control: without CUDA graphs, without asynchronous steps,
with the attention that was asked for. It shares no prefixes, so that a prompt that comes again
costs what it cost at first.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from torch.profiler import record_function
from transformers import ContinuousBatchingConfig, GenerationConfig, PreTrainedModel
from transformers_agents_forward import Forwards, Generated

MOST_TOKENS_OF_A_STEP = 8192
"""Longer prompts are prefilled in pieces; the library's own default."""
SPARE = 2
"""Cache blocks for each one needed: the scheduler starts no prefill when few are left."""


class GenerationFailed(RuntimeError):
    """The library's generation loop failed; the message is its own."""


class Continuous:
    """The manager is kept from run to run, and made anew when a run needs a larger one."""

    def __init__(self, model: PreTrainedModel, _options: dict[str, Any]) -> None:
        self.model, self.forwards = model, Forwards(model)
        self._manager: Any = None
        self._size: tuple[int, ...] = (0, 0, 0)
        self._make((1, 1, 1))  # sets the attention that the model is left with

    def prepare(
        self, prompts: list[list[int]], output_tokens: int
    ) -> Callable[[], list[Generated]]:
        """A manager that is large enough; its loop is held while all requests arrive."""
        try:
            self._grow(prompts, output_tokens)
            with ExitStack() as stack:
                stack.enter_context(self._manager.pause())
                names = [
                    self._manager.add_request(
                        prompt, max_new_tokens=output_tokens, record_timestamps=True
                    )
                    for prompt in prompts
                ]
                held = stack.pop_all()
        except Exception as error:
            raise self._failure(error) from error

        def release() -> list[Generated]:
            held.close()
            try:
                found = self._wait_for(len(names))
            except Exception as error:
                raise self._failure(error) from error
            return [_generated(found[name]) for name in names]

        return release

    def _grow(self, prompts: list[list[int]], output_tokens: int) -> None:
        longest = max(map(len, prompts)) + output_tokens
        need = (len(prompts), longest, sum(map(len, prompts)))
        if any(has < asked for has, asked in zip(self._size, need, strict=True)):
            self._make(tuple(map(max, self._size, need)))
        if not self._manager.is_running():
            self._manager.start()

    def _make(self, size: tuple[int, ...]) -> None:
        self._drop()
        sequences, longest, prompt_tokens = self._size = size
        config = ContinuousBatchingConfig(
            max_requests_per_batch=sequences,
            max_batch_tokens=max(sequences, min(prompt_tokens, MOST_TOKENS_OF_A_STEP)),
            allow_block_sharing=False,
            use_async_batching=False,
            use_cuda_graph=False,
            auto_switch_to_flash=False,
        )
        config.num_blocks = SPARE * sequences * (-(-longest // config.page_size) + 1)
        greedy = GenerationConfig(do_sample=False, eos_token_id=-1)
        self._manager = self.model.init_continuous_batching(greedy, config)
        step = self._manager._generation_step
        self._manager._generation_step = lambda: self._labelled(step)

    def _drop(self) -> None:
        if self._manager is not None and self._manager.is_running():
            self._manager.stop(block=True)
        self._manager, self._size = None, (0, 0, 0)

    def _labelled(self, step: Callable[[], None]) -> None:
        """One step: forward, argmax, tokens to the host."""
        batch = self._manager.batch_processor.inputs_and_outputs.requests_in_batch
        kinds = {"decode" if each.state.generated_len() else "prefill" for each in batch}
        with record_function(f"phase/{kinds.pop() if len(kinds) == 1 else 'mixed'}"):
            step()

    def _wait_for(self, count: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while len(found) < count:
            output = self._manager.get_result(timeout=1)
            if output is not None and output.error is not None:
                raise GenerationFailed(output.error)
            if output is not None:
                found[output.request_id] = output
            elif not self._manager.is_running():
                raise GenerationFailed("its thread ended")
        return found

    def _failure(self, error: Exception) -> BaseException:
        """What really went wrong in the loop's thread; the next run has a new manager."""
        status = self._manager.background_thread_status
        self._drop()
        return status.fatal_error or error


def _generated(output: Any) -> Generated:
    """Its times are those of `time.perf_counter`."""
    to_monotonic = time.monotonic() - time.perf_counter()
    first, last = output.timestamps[0], output.timestamps[-1]
    return Generated(
        started_s=output.lifespan[0] + to_monotonic,
        first_s=first + to_monotonic,
        ended_s=last + to_monotonic,
        output_ids=list(output.generated_tokens),
    )
