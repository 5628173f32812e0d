"""The calibration server as a process of its own, and how a client speaks to it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from inferometer.errors import UserError
from inferometer.stacks.base import GenerationRequest, StreamEvent
from inferometer.stacks.openai import OpenAIDialect

START_LIMIT_S = 20.0


@dataclass
class ServerStamps:
    """When a request arrived and its token events were written, by `time.monotonic()`."""

    arrived_s: float
    written_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class CalibrationDialect(OpenAIDialect):
    """The OpenAI dialect, which keeps the times that the calibration server puts into texts.

    `program` gives further body fields of a request: `ttft_ms`, `itl_ms`, `fault`,
    `fault_after`. `stamps` are kept by the seed of the request.
    """

    program: Callable[[GenerationRequest], dict[str, Any]] | None = None
    stamps: dict[int, ServerStamps] = field(default_factory=dict)

    def request(self, request: GenerationRequest) -> tuple[str, dict[str, Any]]:
        """Path and body, with the programmed fields."""
        path, body = super().request(request)
        return path, body | self.program(request) if self.program else body

    def read_event(self, data: bytes) -> StreamEvent | None:
        """One event; a token's times are put aside."""
        event = super().read_event(data)
        if event is not None and event.text:
            seed, arrived_s, written_s = event.text.split(" ")
            stamps = self.stamps.setdefault(int(seed), ServerStamps(float(arrived_s)))
            stamps.written_s.append(float(written_s))
        return event


@dataclass(frozen=True)
class RunningServer:
    """A calibration server that runs."""

    url: str
    process: asyncio.subprocess.Process


@asynccontextmanager
async def running_server(
    ttft_ms: float, itl_ms: float, *, log: bool = False
) -> AsyncIterator[RunningServer]:
    """Start a calibration server on a free port; end it in whatever way the block is left.

    With `log`, `GET /log` gives the times of all requests, whoever sent them.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "inferometer.load.calibration_server"),
        *("--ttft-ms", str(ttft_ms), "--itl-ms", str(itl_ms)),
        *(["--log"] if log else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_LIMIT_S)
            url = json.loads(line)["url"]
        except (TimeoutError, ValueError) as error:
            raise UserError(f"calibration server: {await _complaint(process)}") from error
        yield RunningServer(url, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _complaint(process: asyncio.subprocess.Process) -> str:
    """The last line that a server which did not start has left."""
    if process.returncode is None:
        process.kill()
    assert process.stderr is not None
    lines = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"no answer within {START_LIMIT_S:g} s; is the machine busy?"
