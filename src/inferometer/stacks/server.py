"""The life of one server process: start, wait until ready, stop whatever happens."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from inferometer.errors import UserError
from inferometer.stacks.base import Launch, Stack

GUARD = Path(__file__).parents[1] / "hosts" / "guard.py"
STOP_LIMIT_S = 6.0


@dataclass(frozen=True)
class RunningServer:
    """A server that answers; `processes` are all of it (none for a server by URL)."""

    base_url: str
    command: list[str]
    start_s: float
    read_back: dict[str, Any]
    guard: asyncio.subprocess.Process | None
    log: Path

    def processes(self) -> list[psutil.Process]:
        """The server's processes, the guard among them."""
        if self.guard is None or self.guard.returncode is not None:
            return []
        try:
            root = psutil.Process(self.guard.pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []

    def alive(self) -> bool:
        """Whether the process still runs; a server by URL counts as running."""
        return self.guard is None or self.guard.returncode is None

    def last_words(self, lines: int = 5) -> str:
        """The end of its log, for an error message."""
        return last_lines(self.log, lines)


def free_port() -> int:
    """A port that is free now; if somebody takes it meanwhile, the start fails and says so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def last_lines(log: Path, lines: int) -> str:
    """The last non-empty lines of a log file."""
    if not log.is_file():
        return "(no log)"
    text = log.read_text(errors="replace").splitlines()
    return "\n".join([line for line in text if line.strip()][-lines:]) or "(empty log)"


@asynccontextmanager
async def running(
    stack: Stack, settings: Any, launch: Launch, log: Path, *, ready_limit_s: float
) -> AsyncIterator[RunningServer]:
    """Start a server under the guard, wait until it is ready, verify its settings, stop it.

    Raises `UserError` with the end of the log when it dies, when something else answers on its
    port, or when it is not ready in time.
    """
    started = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    guard = None
    # a generous pool of its own: readiness checks must not use the measuring client
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        if launch.command and await stack.ready(http, launch.base_url):
            raise UserError(
                f"{stack.name}: something already answers at {launch.base_url}; stop it or use "
                "another port"
            )
        try:
            if launch.command:
                guard = await _start(launch, log)
            await _wait(stack, http, launch, guard, log, ready_limit_s)
            start_s = time.monotonic() - started
            try:
                seen = await stack.read_back(http, launch.base_url, settings)
            except (
                aiohttp.ClientError,
                TimeoutError,
                ValueError,
                LookupError,
                TypeError,
                AttributeError,
            ) as error:
                raise UserError(
                    f"{stack.name}: {launch.base_url} does not answer as {stack.name} does: "
                    f"{type(error).__name__}: {error}"
                ) from error
            yield RunningServer(launch.base_url, launch.command, start_s, seen, guard, log)
        finally:
            if guard is not None:
                await _stop(guard)


async def _start(launch: Launch, log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as sink:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(GUARD),
            *launch.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=sink,
            stderr=sink,
            env=_environment(launch),
            start_new_session=True,
        )


def _environment(launch: Launch) -> dict[str, str]:

    # the server's own environment must not see ours
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return kept | launch.environment


async def _wait(
    stack: Stack,
    http: aiohttp.ClientSession,
    launch: Launch,
    guard: asyncio.subprocess.Process | None,
    log: Path,
    limit_s: float,
) -> None:
    deadline = time.monotonic() + limit_s
    while not await stack.ready(http, launch.base_url):
        if guard is not None and guard.returncode is not None:
            raise UserError(
                f"{stack.name}: the server ended with code {guard.returncode} before it was "
                f"ready. Its last lines ({log}):\n{last_lines(log, 8)}"
            )
        if time.monotonic() > deadline:
            raise UserError(
                f"{stack.name}: {launch.base_url} was not ready within {limit_s:g} s. "
                f"Its last lines ({log}):\n{last_lines(log, 8)}"
            )
        await asyncio.sleep(0.05)


async def _stop(guard: asyncio.subprocess.Process) -> None:
    """Close the guard's pipe: it ends the server; kill both should it not."""
    if guard.stdin is not None:
        guard.stdin.close()
    try:
        await asyncio.wait_for(asyncio.shield(guard.wait()), STOP_LIMIT_S)
    except (TimeoutError, asyncio.CancelledError):
        for process in _family(guard.pid):
            process.kill()
        await guard.wait()


def _family(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [*root.children(recursive=True), root]
    except psutil.Error:
        return []
