"""The closed loop: N agents, each of which waits for its answer, thinks, and sends again.

Only the interval in which all N were active may be analysed. So every agent keeps sending until
the last has met its quota; the window runs from the last of the first sends to that instant.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from inferometer.load.client import StreamingClient
from inferometer.load.loop_result import (
    LoopResult,
    StopReason,
    cell_gates,
    summarize,
    window_tokens,
)
from inferometer.load.pauses import frozen_heap
from inferometer.load.prompts import PromptSource
from inferometer.records import Record
from inferometer.stacks.base import GenerationRequest

__all__ = ["LoopResult", "cell_gates", "run", "window_tokens"]

UNANSWERED = ("refused", "disconnected", "timeout")
UNANSWERED_LIMIT = 3
"""After this many unanswered requests in a row of every agent, the server is gone."""

FAILURE_PAUSE_S = 0.1
"""Pause after the first of several failures in a row; it grows with their number to ten times
that, so that a broken server is not hammered and a file not filled."""


async def run(
    client: StreamingClient,
    prompts: PromptSource,
    *,
    agents: int,
    think_s: float,
    quota: int,
    min_s: float,
    prompt_tokens: int,
    output_tokens: int,
    first_index: int,
    deadline_s: float,
    on_record: Callable[[Record], None],
) -> LoopResult:
    """Load the server with `agents` closed-loop agents.

    Sending stops when each agent has completed `quota` requests (failed ones count) and `min_s`
    have passed, at the latest `deadline_s` after the start, or when the server is gone: every
    agent had `UNANSWERED_LIMIT` unanswered requests in a row. Requests then in flight are
    awaited, within the client's limit for a request.

    Parameters
    ----------
    quota, min_s, deadline_s
        Effort: completed requests per agent; seconds from the start.
    first_index
        Index of the first prompt; each request takes the next one, and is seeded with it.
    on_record
        Called with each record as soon as its request has ended; the client's fields and
        `think_overrun_s`, the overrun of the think before it. What it raises ends the loop.
    """
    if agents < 1:
        raise ValueError(f"closed loop: {agents} agents are not possible; use 1 or more")

    def request(index: int) -> GenerationRequest:
        prompt = prompts.prompt(prompt_tokens, first_index + index)
        return GenerationRequest(prompt, output_tokens, seed=first_index + index)

    loop = _ClosedLoop(client, request, think_s, quota, on_record)
    with frozen_heap():
        await loop.run(agents, min_s, deadline_s)
    return loop.result()


@dataclass
class _Agent:
    number: int
    sent: int = 0
    completed: int = 0
    failures: int = 0
    unanswered: int = 0
    first_send_s: float | None = None


class _ClosedLoop:
    def __init__(
        self,
        client: StreamingClient,
        request: Callable[[int], GenerationRequest],
        think_s: float,
        quota: int,
        on_record: Callable[[Record], None],
    ) -> None:
        self._client = client
        self._request = request
        self._think_s = think_s
        self._quota = quota
        self._on_record = on_record
        self._agents: list[_Agent] = []
        self._issued = 0
        self._failed = 0
        self._overruns: list[float] = []
        self._thinking: set[asyncio.Future[None]] = set()
        self._min_passed = False
        self._stop_reason: StopReason | None = None
        self._stopped_s = 0.0

    async def run(self, agents: int, min_s: float, deadline_s: float) -> None:
        self._agents = [_Agent(number) for number in range(agents)]
        loop = asyncio.get_running_loop()
        timers = [
            loop.call_later(min_s, self._pass_minimum),
            loop.call_later(deadline_s, self._stop, "deadline"),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for agent in self._agents:
                    group.create_task(self._live(agent))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            for timer in timers:
                timer.cancel()

    def result(self) -> LoopResult:
        assert self._stop_reason is not None
        firsts = [agent.first_send_s for agent in self._agents if agent.first_send_s is not None]
        window = (max(firsts), self._stopped_s) if len(firsts) == len(self._agents) else None
        return LoopResult(
            window_start_s=window[0] if window else None,
            window_end_s=window[1] if window else None,
            requests=self._issued,
            failed=self._failed,
            per_agent_counts=tuple(agent.completed for agent in self._agents),
            stop_reason=self._stop_reason,
            think_overruns=summarize(self._overruns),
        )

    async def _live(self, agent: _Agent) -> None:
        overrun_s: float | None = None
        while self._stop_reason is None:
            request = self._request(self._issued)
            self._issued += 1
            agent.sent += 1
            record = await self._client.generate(
                request, agent=agent.number, sequence=agent.sent - 1
            )
            if agent.first_send_s is None:
                agent.first_send_s = record["sent_s"]
            self._on_record({**record, "think_overrun_s": overrun_s})
            self._count(agent, record["status"])
            overrun_s = await self._think(agent)

    def _count(self, agent: _Agent, status: str) -> None:
        """Take note of a completed request, and stop where it was the last one needed."""
        agent.completed += 1
        failed = status != "ok"
        self._failed += failed
        agent.failures = agent.failures + 1 if failed else 0
        agent.unanswered = agent.unanswered + 1 if status in UNANSWERED else 0
        if all(other.unanswered >= UNANSWERED_LIMIT for other in self._agents):
            self._stop("server gone")
        self._stop_if_done()

    async def _think(self, agent: _Agent) -> float | None:
        """Pause between two requests; the overrun in seconds, `None` without a whole think."""
        pause_s = self._think_s + FAILURE_PAUSE_S * min(agent.failures, 10)
        if self._stop_reason is not None or pause_s <= 0:
            return None
        loop = asyncio.get_running_loop()
        wake: asyncio.Future[None] = loop.create_future()
        start_s = self._client.now()
        timer = loop.call_later(pause_s, _wake, wake)
        self._thinking.add(wake)
        try:
            await wake
        finally:
            timer.cancel()
            self._thinking.discard(wake)
        if self._stop_reason is not None or self._think_s <= 0:
            return None
        overrun_s = round(self._client.now() - start_s - pause_s, 6)
        self._overruns.append(overrun_s)
        return overrun_s

    def _pass_minimum(self) -> None:
        self._min_passed = True
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        if self._min_passed and all(agent.completed >= self._quota for agent in self._agents):
            self._stop("quota met")

    def _stop(self, reason: StopReason) -> None:
        """No new request from now on; who thinks ends at once."""
        if self._stop_reason is not None:
            return
        self._stop_reason = reason
        self._stopped_s = round(self._client.now(), 6)
        for wake in self._thinking:
            _wake(wake)


def _wake(thinking: asyncio.Future[None]) -> None:
    if not thinking.done():
        thinking.set_result(None)
