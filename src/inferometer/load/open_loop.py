"""The open loop: requests leave at scheduled times, however busy the server is.

None is dropped and none waits for another. Latency counts from the scheduled time, so that a
stalled server, or a late client, cannot hide the wait it caused. Schedules: load/schedules.py.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from inferometer.load.client import StreamingClient
from inferometer.load.pauses import first_in_line, frozen_heap
from inferometer.load.prompts import PromptSource
from inferometer.records import Record
from inferometer.stacks.base import GenerationRequest

LEAD_S = 0.02
"""Between the start of the loop and time 0 of its schedule."""

TIMER_GRAIN_S = 0.002
"""The event loop's timers are late by up to this; a thread that sleeps waits out the rest."""

THREAD_GRAIN_S = 0.0002
"""A sleeping thread is late by up to this; what then is left is spent turning the loop."""


@dataclass(frozen=True)
class OpenLoopResult:
    """What an open loop did; `start_s`, time 0 of the schedule, is on the client's clock.

    `failed` counts every request that is not `ok`, `unfinished` those of them that were still
    under way when the drain ended.
    """

    start_s: float
    requests: int
    failed: int
    unfinished: int
    lag_p50_s: float
    lag_p99_s: float
    scheduling: str
    """`real-time`, or `ordinary` where the client may not go before other processes."""


async def run(
    client: StreamingClient,
    prompts: PromptSource,
    schedule_s: Sequence[float],
    *,
    prompt_tokens: int,
    output_tokens: int,
    first_index: int,
    on_record: Callable[[Record], None],
    drain_s: float | None = None,
    stream: bool = True,
) -> OpenLoopResult:
    """Send a request at each scheduled time and await all of them.

    Each record has agent 0, `scheduled_s` on the client's clock, and `lag_s`, by how much it
    was sent late. What is still under way `drain_s` after the last scheduled time is given up and
    recorded with the status `unfinished`; without a `drain_s` only the client's own limit ends a
    request. `schedule_s` ascends and is not empty. What `on_record` raises ends the loop.
    """
    if not schedule_s:
        raise ValueError("open loop: an empty schedule; draw it for longer or at a higher rate")
    lags: list[float] = []
    statuses: Counter[str] = Counter()

    async def send(sequence: int, request: GenerationRequest, scheduled_s: float) -> None:
        limit_s = None if drain_s is None else max(0.0, end_s + drain_s - client.now())
        record = await client.generate(
            request,
            agent=0,
            sequence=sequence,
            scheduled_s=scheduled_s,
            stream=stream,
            limit_s=limit_s,
        )
        record["lag_s"] = round(record["sent_s"] - scheduled_s, 6)
        if record["status"] == "timeout" and limit_s is not None and limit_s < client.timeout_s:
            record["status"] = "unfinished"
            record["error"] = f"under way {drain_s:g} s after the last scheduled time"
        lags.append(record["lag_s"])
        statuses[record["status"]] += 1
        on_record(record)

    with frozen_heap(), first_in_line() as scheduling:
        start_s = client.now() + LEAD_S
        end_s = start_s + schedule_s[-1]
        try:
            async with asyncio.TaskGroup() as sends:
                for sequence, offset_s in enumerate(schedule_s):
                    index = first_index + sequence
                    # made before its time has come: only sending is left to do then
                    prompt = prompts.prompt(prompt_tokens, index)
                    request = GenerationRequest(prompt, output_tokens, seed=index)
                    await _wait_until(client, start_s + offset_s)
                    sends.create_task(send(sequence, request, start_s + offset_s))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
    lag_p50_s, lag_p99_s = np.quantile(lags, [0.5, 0.99])
    return OpenLoopResult(
        start_s=round(start_s, 6),
        requests=len(lags),
        failed=len(lags) - statuses["ok"],
        unfinished=statuses["unfinished"],
        lag_p50_s=float(lag_p50_s),
        lag_p99_s=float(lag_p99_s),
        scheduling=scheduling,
    )


async def _wait_until(client: StreamingClient, time_s: float) -> None:
    await asyncio.sleep(max(0.0, time_s - client.now() - TIMER_GRAIN_S))
    # turning the loop all the while would cost a sixth of the client's time
    if (rest_s := time_s - client.now() - THREAD_GRAIN_S) > 0:
        await asyncio.to_thread(time.sleep, rest_s)
    while client.now() < time_s:
        await asyncio.sleep(0)
