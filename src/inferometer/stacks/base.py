"""What a serving stack must offer so that load, sessions and reports need not know it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import aiohttp
from pydantic import BaseModel


@dataclass(frozen=True)
class GenerationRequest:
    """One request, in the words that all stacks share.

    `prompt` is a list of token ids under the SUT's own tokenizer, or a text where the stack
    takes no ids. `output_tokens` is forced: the stack must ignore end-of-sequence; with
    `stop_at_end` the answer may end earlier, by itself. `temperature` 0 is greedy. A dialect whose
    stack can do neither raises `NotTestableHere`.
    """

    prompt: Sequence[int] | str
    output_tokens: int
    seed: int
    stop_at_end: bool = False
    temperature: float = 0.0


@dataclass(frozen=True)
class Usage:
    """Tokens as the server counted them; `None` where it does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


@dataclass(frozen=True)
class ServerTimings:
    """Durations as the server measured them, in seconds; `None` where it does not say."""

    queue_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None


@dataclass(frozen=True)
class StreamEvent:
    """One server-sent event, read.

    `carries_token` tells whether a generated token arrived with it (its text may be empty);
    `last` that it ends the answer, where a stack has no end marker of its own.
    """

    carries_token: bool = False
    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    timings: ServerTimings | None = None
    error: str | None = None
    last: bool = False


class Dialect(Protocol):
    """How one stack's HTTP interface is spoken. Pure: no connection of its own.

    `closes_streams` tells that the server closes the connection after each stream, whatever its
    headers promise: such a connection must not be used again. `data_prefix` is what the lines with
    payloads begin with; empty where every line is one (newline-delimited JSON).
    """

    @property
    def closes_streams(self) -> bool:
        """See the class."""

    @property
    def data_prefix(self) -> bytes:
        """See the class."""

    def request(self, request: GenerationRequest) -> tuple[str, dict[str, Any]]:
        """Path and JSON body of a streaming generation request."""

    def read_event(self, data: bytes) -> StreamEvent | None:
        """Read the payload of one line; `None` for the end marker.

        Raises `ValueError` when the payload is not what the stack documents.
        """

    async def tokenize(self, http: aiohttp.ClientSession, base_url: str, text: str) -> list[int]:
        """Token ids of `text` under the served model, without special tokens."""


@dataclass(frozen=True)
class Launch:
    """How a server is started: the whole command line, its environment, its URL."""

    command: list[str]
    base_url: str
    environment: dict[str, str] = field(default_factory=dict)


class Stack(Protocol):
    """One stack: one module, one environment."""

    name: str
    settings_model: type[BaseModel]

    def environment_for(self, settings: Any) -> str | None:
        """The name of `envs/<name>.txt` that it runs in; `None` for a server that the user runs."""

    def why_not(self, settings: Any) -> str | None:
        """Why this machine cannot run a SUT with these settings; `None` when nothing speaks against
        it. Asked before its environment is made."""

    def dialect(self, settings: Any) -> Dialect | None:
        """How a server with these settings is spoken to; `None` for a worker (stacks/worker.py)."""

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """The command that serves `artifact` on `port` with `python` of its environment."""

    async def ready(self, http: aiohttp.ClientSession, base_url: str) -> bool:
        """Whether the server answers and has loaded its model; never raises for "not yet"."""

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """Settings in force, version and model, as the server itself reports them.

        Raises `UserError` when a setting is not the one that was asked for.
        """


@runtime_checkable
class ProfiledServer(Protocol):
    """A stack whose servers can profile themselves; traces are in Kineto's format."""

    async def start_profile(self, http: aiohttp.ClientSession, base_url: str) -> None:
        """Begin to profile; `UserError` says why a server cannot."""

    async def stop_profile(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> list[Path]:
        """End profiling and wait until the traces written since the start are complete."""


async def answers(http: aiohttp.ClientSession, url: str) -> bool:
    """Whether `url` answers with 200; what a server that is still loading does is no error."""
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def get_json(http: aiohttp.ClientSession, url: str) -> Any:
    """The JSON at `url`; raises aiohttp's errors."""
    async with http.get(url) as answer:
        answer.raise_for_status()
        return await answer.json(content_type=None)
