import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from inferometer.load.calibration_process import (
    CalibrationDialect,
    RunningServer,
    running_server,
)
from inferometer.load.client import StreamingClient
from inferometer.load.prompts import PromptSource
from inferometer.stacks.base import GenerationRequest

Program = Callable[[GenerationRequest], dict[str, Any]]


@dataclass
class Bench:
    """A client at a calibration server in a process of its own."""

    client: StreamingClient
    server: RunningServer
    dialect: CalibrationDialect
    prompts: PromptSource


@pytest.fixture
def on_server():
    """Run a coroutine on a bench; `program` gives body fields by request."""

    def start(
        test: Callable[[Bench], Awaitable[Any]],
        program: Program | None = None,
        timeout_s: float = 5,
        log: bool = False,
    ) -> Any:
        async def main() -> Any:
            dialect = CalibrationDialect(program=program)
            async with (
                running_server(ttft_ms=5, itl_ms=1, log=log) as server,
                StreamingClient(
                    server.url, dialect, timeout_s=timeout_s, clock_origin=time.monotonic()
                ) as client,
            ):
                prompts = await PromptSource.build(client, "tests")
                return await test(Bench(client, server, dialect, prompts))

        return asyncio.run(main())

    return start
