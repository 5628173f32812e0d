"""The client of a worker: one request at a time, whose timings are the worker's own."""

import asyncio
import signal
from types import TracebackType
from typing import Any, Self

import aiohttp

from inferometer.errors import UserError
from inferometer.stacks.server import RunningServer

ENDING_LIMIT_S = 5.0
"""How long a worker may take to be gone for good after its connection broke."""


class WorkerGone(Exception):
    """The worker's process ended, or its connection broke; the message is the reason."""


class WorkerTimeout(Exception):
    """A call took longer than its limit; the worker may still be busy with it."""


class WorkerClient:
    """Drives one worker. Use as an async context manager.

    Parameters
    ----------
    base_url
        Where it listens.
    timeout_s
        Longest time for one call; `hold` may take its own seconds on top.
    clock_origin
        The `time.monotonic()` that record times count from.
    server
        Its process, if known: then `WorkerGone` says how it ended.
    """

    def __init__(
        self,
        base_url: str,
        timeout_s: float,
        clock_origin: float,
        server: RunningServer | None = None,
    ) -> None:
        self.base_url = base_url
        self.timeout_s = timeout_s
        self.clock_origin = clock_origin
        self._server = server

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def generate(
        self, prompt: list[int], output_tokens: int, cache: bool = True
    ) -> dict[str, Any]:
        """One sequence: `parts` (a record for each phase) and `output_ids`.

        Memory that runs out and exceptions are parts with a `status`. Raises `WorkerGone`,
        `WorkerTimeout`, and `UserError` for a request that the worker cannot serve.
        """
        body = {"prompt": prompt, "output_tokens": output_tokens, "cache": cache}
        answer = await self._post("/generate", body, self.timeout_s)
        return answer | {"parts": [self._on_our_clock(part) for part in answer["parts"]]}

    async def hold(
        self, part: str, seconds: float, prompt: list[int], output_tokens: int
    ) -> dict[str, Any]:
        """Keep one phase, or idleness, going for at least `seconds`; errors as in `generate`."""
        body: dict[str, Any] = {"part": part, "seconds": seconds}
        if part != "idle":
            body |= {"prompt": prompt, "output_tokens": output_tokens}
        return self._on_our_clock(await self._post("/hold", body, self.timeout_s + seconds))

    async def ceilings(
        self, size_bytes: int | None = None, repetitions: int = 5
    ) -> list[dict[str, Any]]:
        """Bandwidth and compute of the worker's device, one dict per probe.

        Arrays have the size of the model's weights unless `size_bytes` says otherwise. Errors as
        in `generate`; arrays that do not fit are a `UserError`.
        """
        body = {"size_bytes": size_bytes, "repetitions": repetitions}
        return (await self._post("/ceilings", body, self.timeout_s))["probes"]

    async def run(
        self, prompts: list[list[int]], output_tokens: int, profile: bool = False
    ) -> dict[str, Any]:
        """N sequences, released together, in the way of the worker's `control`; of a worker of the
        stack transformers_agents.

        The answer has a `status`, the whole run's times, `sequences` (none after a failure),
        `steps`, `batch_sizes`, and paths of `traces` that are the caller's to read and to delete.
        Errors as in `generate`.
        """
        body = {"prompts": prompts, "output_tokens": output_tokens, "profile": profile}
        answer = self._on_our_clock(await self._post("/run", body, self.timeout_s))
        for sequence in answer["sequences"]:
            sequence["started_s"] -= self.clock_origin
            sequence["ended_s"] -= self.clock_origin
        return answer

    async def log_probs(self, requests: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """Log-probability of each continuation after its context: `value`, `tokens`, and `error`
        where there is none. Errors as in `generate`.
        """
        return (await self._post("/log_probs", {"requests": requests}, self.timeout_s))["log_probs"]

    async def text_log_probs(
        self, text: str, *, write: str | None = None, against: str | None = None
    ) -> dict[str, Any]:
        """Tokens and negative log-likelihood of a text; see `hosts/log_probs.py` for the files."""
        body = {"text": text, "write": write, "against": against}
        return await self._post("/text_log_probs", body, self.timeout_s)

    def _on_our_clock(self, record: dict[str, Any]) -> dict[str, Any]:
        return record | {"started_s": record["started_s"] - self.clock_origin}

    async def _post(self, path: str, body: dict[str, Any], limit_s: float) -> dict[str, Any]:
        limit = aiohttp.ClientTimeout(total=limit_s)
        try:
            async with self._http.post(self.base_url + path, json=body, timeout=limit) as answer:
                content = await answer.json(content_type=None)
        except TimeoutError:
            raise WorkerTimeout(f"{path} took longer than {limit_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise WorkerGone(await self._how_it_ended(error)) from None
        if answer.status != 200:
            raise UserError(f"worker: {path}: {content.get('error')}")
        return content

    async def _how_it_ended(self, error: Exception) -> str:
        broken = f"the connection to the worker broke ({type(error).__name__})"
        if self._server is None or self._server.guard is None:
            return broken
        try:
            code = await asyncio.wait_for(self._server.guard.wait(), ENDING_LIMIT_S)
        except TimeoutError:
            return f"{broken}; its process still runs"
        return f"the worker {_ending(code)}; its last lines:\n{self._server.last_words()}"


def _ending(code: int) -> str:
    """An exit status in words; the guard returns 128 + the number of a signal."""
    number = code - 128 if code > 128 else -code
    try:
        return f"was killed by {signal.Signals(number).name}"
    except ValueError:
        return f"ended with code {code}"
