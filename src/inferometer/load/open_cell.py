"""An open-loop cell: requests at a rate that is a share of the capacity measured in its block."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from inferometer.design import Gates
from inferometer.errors import NotTestableHere
from inferometer.load import open_loop, schedules
from inferometer.load.cell import ClosedLoopEffort, measure_closed_loop
from inferometer.load.loop_result import content_reasons, window_tokens
from inferometer.load.open_loop import OpenLoopResult
from inferometer.records import Record
from inferometer.session import CellOutcome, CellRun

CAPACITY = "capacity_per_s"
UNANSWERED = ("refused", "disconnected")


class OpenLoopEffort(ClosedLoopEffort):
    """Work per cell: a closed loop for the capacity, then arrivals for `load_s` at each rate.

    `hold_s` is the length of a hold; what is under way `drain_s` after the last arrival is
    recorded as unfinished. `deadline_s` bounds a request, as in closed loops.
    """

    load_s: float = Field(gt=0)
    hold_s: float = Field(gt=0)
    drain_s: float = Field(gt=0)
    health_period_s: float = Field(default=5.0, gt=0)
    """How often a hold reads clocks and temperatures."""
    conversations: int = Field(default=1, ge=1)


async def measure_capacity(run: CellRun) -> CellOutcome:
    """Requests per second of a closed loop that keeps every slot busy, kept for later cells.

    The rate is that of tokens in the common interval over the tokens of a request.
    """
    taken: list[Record] = []
    store = run.append

    def keep(record: Record) -> None:
        taken.append(record)
        store(record)

    run.append = keep
    outcome = await measure_closed_loop(run)
    if not outcome.reasons and not outcome.fatal:
        start_s, end_s = outcome.window_start_s, outcome.window_end_s
        assert start_s is not None
        assert end_s is not None
        good = [record for record in taken if record["status"] == "ok"]
        tokens = sum(window_tokens(record, start_s, end_s) for record in good)
        run.kept[CAPACITY] = tokens / (end_s - start_s) / run.effort.output_tokens
    return outcome


async def measure_open_loop(
    run: CellRun, *, arrivals: str = "poisson", seconds: float | None = None, stream: bool = True
) -> CellOutcome:
    """Send requests at `rho` times the capacity of this block, for `seconds` (else `load_s`).

    The schedule is drawn from the design's seed, the block and the levels that make a load (rho
    and the law of arrivals), not from the SUT: arms at one level meet the same arrivals, at the
    speed of their own capacity. A record of kind `load` tells the rate, the share and the law.
    """
    (sut,) = run.suts
    capacity = run.kept.get(CAPACITY)
    if capacity is None:
        why = "the capacity of this block was not measured, so there is no rate"
        return CellOutcome(None, None, [why])
    length_s = run.effort.load_s if seconds is None else seconds
    rho = float(run.cell.levels["rho"])
    rate = rho * capacity
    seed = f"{run.design.seed}/{run.block}/{rho:g}"
    schedule = schedules.draw(arrivals, rate, length_s, seed, Path())
    if not schedule:
        return CellOutcome(None, None, [f"no arrival within {length_s:g} s at {rate:.3g} 1/s"])
    records: list[Record] = []

    def keep(record: Record) -> None:
        numbered = record | {"server": 0}
        records.append(numbered)
        run.append(numbered)

    try:
        result = await open_loop.run(
            sut.client,
            sut.prompts,
            schedule,
            prompt_tokens=run.effort.prompt_tokens,
            output_tokens=run.effort.output_tokens,
            first_index=run.first_index,
            on_record=keep,
            drain_s=run.effort.drain_s,
            stream=stream,
        )
    except NotTestableHere as why:
        return CellOutcome(None, None, [], not_testable=str(why))
    run.append(_load(rho, rate, capacity, arrivals, length_s, result))
    gone = all(record["status"] in UNANSWERED for record in records[-3:])
    return CellOutcome(
        window_start_s=result.start_s,
        window_end_s=round(result.start_s + length_s, 6),
        reasons=gates(records, result, run.design.gates),
        facts={"rate_per_s": rate, "unfinished": result.unfinished},
        prompts_used=len(schedule),
        restart=gone,
    )


def _load(
    rho: float, rate: float, capacity: float, law: str, length_s: float, result: OpenLoopResult
) -> Record:
    return {
        "kind": "load",
        **{"rho_asked": rho, "rate_per_s": rate, "capacity_per_s": capacity, "law": law},
        **{"start_s": result.start_s, "length_s": length_s, "requests": result.requests},
        **{"unfinished": result.unfinished, "failed": result.failed - result.unfinished},
        **{"lag_p50_s": result.lag_p50_s, "lag_p99_s": result.lag_p99_s},
        "client_scheduling": result.scheduling,
    }


def gates(records: Sequence[Record], result: OpenLoopResult, limits: Gates) -> list[str]:
    """Why an open-loop cell is invalid, one reason a line; empty where it is valid.

    Requests that were not finished when the drain ended are a result, not a failure.
    """
    reasons = []
    failed = [r for r in records if r["status"] not in ("ok", "unfinished")]
    if len(failed) / len(records) > limits.failed_fraction:
        reasons.append(
            f"{len(failed)} of {len(records)} requests failed (limit {limits.failed_fraction:g}); "
            f"the first: {failed[0]['status']}: {failed[0]['error']}"
        )
    if result.lag_p99_s > limits.client_lag_p99_s:
        reasons.append(
            f"the client could not send at this rate: p99 of the lag behind the schedule is "
            f"{result.lag_p99_s * 1e3:.1f} ms (limit {limits.client_lag_p99_s * 1e3:g} ms)"
        )
    return reasons + content_reasons(records)
