"""A real worker of the stack transformers_agents, driven from plain functions."""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import psutil

from inferometer.stacks.server import free_port, running
from inferometer.stacks.transformers_agents import TransformersAgents, TransformersAgentsSettings
from inferometer.stacks.worker import WorkerClient

READY_S, CALL_S = 120, 60
N, PROMPT, TOKENS = 3, 12, 6


class Live:
    """A real worker and its client, driven from plain functions."""

    def __init__(self, python: Path, model: Path, log: Path, **settings: object):
        self.settings = TransformersAgentsSettings(device="cpu", **settings)
        self.python, self.model, self.log = python, model, log
        self.runner = asyncio.Runner()
        self.contexts = AsyncExitStack()

    def __enter__(self) -> "Live":
        self.runner.__enter__()
        self.origin = time.monotonic()
        try:
            self.runner.run(self._start())
        except BaseException:
            self.runner.close()
            raise
        return self

    async def _start(self) -> None:
        stack = TransformersAgents()
        launch = replace(
            stack.launch(self.settings, self.model, self.python, free_port()),
            environment={"TMPDIR": str(self.log.parent)},
        )
        served = running(stack, self.settings, launch, self.log, ready_limit_s=READY_S)
        self.server = await self.contexts.enter_async_context(served)
        client = WorkerClient(self.server.base_url, CALL_S, self.origin, self.server)
        self.client = await self.contexts.enter_async_context(client)

    def run(self, agents: int = N, tokens: int = TOKENS, profile: bool = False, length=PROMPT):
        return self.runner.run(self.client.run(prompts(agents, length), tokens, profile))

    def process(self) -> psutil.Process:
        """The worker itself, below the guard."""
        return psutil.Process(self.server.guard.pid).children()[0]

    def agents(self) -> list[psutil.Process]:
        return [p for p in self.process().children() if "spawn_main" in " ".join(p.cmdline())]

    def __exit__(self, *failure: object) -> None:
        self.runner.run(self.contexts.aclose())
        self.runner.__exit__(*failure)


def prompts(agents: int, length: int = PROMPT) -> list[list[int]]:
    rng = random.Random(5)
    return [[rng.randrange(512) for _ in range(length)] for _ in range(agents)]
