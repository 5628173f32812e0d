"""A closed-loop cell: what the experiments with agents measure in one combination of levels."""

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from inferometer.load import closed_loop
from inferometer.load.loop_result import LoopResult
from inferometer.records import Record
from inferometer.session import BlockRun, CellOutcome, CellRun
from inferometer.stacks.base import GenerationRequest
from inferometer.subjects import Served


class ClosedLoopEffort(BaseModel):
    """Work per cell: each agent answers `quota` requests at least, for `min_s` at least.

    `deadline_s` bounds a cell, and a single request where that is shorter than usual.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quota: int = Field(ge=1)
    min_s: float = Field(ge=0)
    prompt_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=1)
    deadline_s: float = Field(gt=0)


async def warm_up(run: BlockRun) -> int:
    """Send the declared number of requests at once to each server; returns the prompts used."""
    count = run.design.warmup.requests
    for served in run.suts:

        async def one(index: int, served: Served = served) -> None:
            request = GenerationRequest(
                served.prompts.prompt(run.effort.prompt_tokens, index),
                run.effort.output_tokens,
                index,
            )
            record = await served.client.generate(request, agent=0, sequence=index)
            run.append(record | {"kind": "warmup"})

        await asyncio.gather(*(one(index) for index in range(count)))
    return count


async def measure_closed_loop(run: CellRun) -> CellOutcome:
    """Drive the SUT with the cell's `agents` and `think_ms`.

    With a companion server the agents are shared out, and only the interval in which the loops
    of both are active counts.
    """
    shares = _shares(int(run.cell.levels["agents"]), len(run.suts))
    records: list[Record] = []
    loops = []
    for number, (served, share) in enumerate(zip(run.suts, shares, strict=True)):
        if share:
            offset = sum(shares[:number])
            loops.append(_loop(run, served, share, offset, number, records))
    results = await asyncio.gather(*loops)
    reasons = []
    for server, result in zip((n for n, share in enumerate(shares) if share), results, strict=True):
        own = [record for record in records if record["server"] == server]
        reasons += closed_loop.cell_gates(own, result, run.design.gates)
        if result.stop_reason == "deadline":
            reasons.append(f"the quota was not met within {run.effort.deadline_s:g} s")
    starts = [result.window_start_s for result in results if result.window_start_s is not None]
    ends = [result.window_end_s for result in results if result.window_end_s is not None]
    whole = len(starts) == len(ends) == len(results)
    return CellOutcome(
        window_start_s=max(starts) if whole else None,
        window_end_s=min(ends) if whole else None,
        reasons=list(dict.fromkeys(reasons)),
        facts={"stop_reasons": [result.stop_reason for result in results]},
        prompts_used=max(result.requests for result in results),
        fatal=_fatal(records, results),
    )


def _fatal(records: list[Record], results: list[LoopResult]) -> str | None:
    """What happened to the SUT, when there is no use in going on with it."""
    failed = next((record for record in records if record["status"] != "ok"), None)
    why = f"; the first failure: {failed['status']}: {failed['error']}" if failed else ""
    if any(result.stop_reason == "server gone" for result in results):
        return f"the server stopped answering{why}"
    if not any(record["status"] == "ok" for record in records):
        return f"no request of the cell succeeded{why}"
    return None


def _shares(agents: int, servers: int) -> list[int]:
    """How many agents each server gets; the first gets the odd one."""
    return [agents // servers + (number < agents % servers) for number in range(servers)]


async def _loop(
    run: CellRun, served: Served, agents: int, offset: int, server: int, records: list[Record]
) -> LoopResult:
    """One server's loop; agents are numbered across servers."""

    def keep(record: Record) -> None:
        numbered: dict[str, Any] = record | {"agent": record["agent"] + offset, "server": server}
        records.append(numbered)
        run.append(numbered)

    return await closed_loop.run(
        served.client,
        served.prompts,
        agents=agents,
        think_s=float(run.cell.levels["think_ms"]) / 1000,
        quota=run.effort.quota,
        min_s=run.effort.min_s,
        prompt_tokens=run.effort.prompt_tokens,
        output_tokens=run.effort.output_tokens,
        first_index=run.first_index,
        deadline_s=run.effort.deadline_s,
        on_record=keep,
    )
