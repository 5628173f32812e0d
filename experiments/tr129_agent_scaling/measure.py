"""Measure one cell of TR129: N closed-loop agents with a think time."""

import asyncio

from pydantic import BaseModel, ConfigDict, Field

from inferometer.load import closed_loop
from inferometer.session import CellOutcome, CellRun, Served


class Effort(BaseModel):
    """Work per cell: each agent answers `quota` requests at least, for `min_s` at least."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quota: int = Field(ge=1)
    min_s: float = Field(ge=0)
    prompt_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=1)
    deadline_s: float = Field(gt=0)


async def measure(run: CellRun) -> CellOutcome:
    """Drive the SUT with N agents; with two models, half of the agents talk to each."""
    agents = int(run.cell.levels["agents"])
    shares = _shares(agents, len(run.servers))
    records: list[dict] = []

    def keep(record: dict) -> None:
        records.append(record)
        run.append(record)

    loops = []
    for number, (served, share) in enumerate(zip(run.servers, shares, strict=True)):
        if share:
            loops.append(_loop(run, served, share, offset=sum(shares[:number]), keep=keep))
    results = await asyncio.gather(*loops)
    start = max(result.window_start_s for result in results)
    end = min(result.window_end_s for result in results)
    reasons = [
        reason
        for result in results
        for reason in closed_loop.cell_gates(records, result, run.design.gates)
    ]
    gone = [r.stop_reason for r in results if r.stop_reason in ("server gone", "deadline")]
    return CellOutcome(
        window_start_s=start,
        window_end_s=end,
        reasons=reasons,
        facts={"stop_reasons": [result.stop_reason for result in results]},
        prompts_used=max(result.requests for result in results),
        fatal=gone[0] if gone else None,
    )


def _shares(agents: int, servers: int) -> list[int]:
    """How many agents each server gets; the first gets the odd one."""
    return [agents // servers + (number < agents % servers) for number in range(servers)]


async def _loop(run, served: Served, agents: int, *, offset: int, keep):  # type: ignore[no-untyped-def]
    def numbered(record: dict) -> None:
        keep(record | {"agent": record["agent"] + offset, "server": run.servers.index(served)})

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
        on_record=numbered,
    )
