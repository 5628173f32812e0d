"""Whether our client keeps its limits in an open loop: ``python benchmarks/client_limits.py``.

Sends Poisson arrivals of 64-token requests at 20 and at 50 requests/s to a server of known timing,
and prints what the client adds, what it costs, and whether what it really sent is Poisson: an index
of dispersion whose interval holds 1, a correlation of neighbouring gaps whose interval holds 0.
A ratio is to the limit. Exit status 1 when a limit is passed.
"""

import argparse
import asyncio
import math
import sys
import time
from dataclasses import dataclass

import numpy as np

from inferometer.load import open_loop, schedules
from inferometer.load.calibration_process import CalibrationDialect, running_server
from inferometer.load.client import StreamingClient
from inferometer.load.client_error import LoadCalibration, Plan, summarize
from inferometer.load.pauses import frozen_heap
from inferometer.load.prompts import PromptSource
from inferometer.records import Record
from inferometer.stats import arrivals

OUTPUT_TOKENS, PROMPT_TOKENS = 64, 64
ROW = "{:56} {:>12} {:>12} {:>7}"
LIMITS = {
    20.0: {
        "added_ttft_p50_s": 0.6e-3,
        "added_ttft_p99_s": 2e-3,
        "token_stamp_error_p99_s": 0.3e-3,
        "schedule_lag_p99_s": 2e-3,
        "cpu_s_per_1000_tokens": 0.1,
    },
    50.0: {"added_ttft_p99_s": 5e-3},
}
"""Requests per second -> figure of `LoadCalibration` -> limit."""


@dataclass(frozen=True)
class Seen:
    """What one rate showed; `sent_s` are the times of sending from the start of the schedule."""

    load: LoadCalibration
    sent_s: list[float]
    seconds: float


async def send_poisson(
    client: StreamingClient,
    rate_per_s: float,
    seed: str,
    records: list[Record],
    *,
    count: int | None = None,
    seconds: float = math.inf,
) -> tuple[open_loop.OpenLoopResult, float]:
    """One open loop, warm; its records are appended. The other result is its CPU seconds."""
    prompts = await PromptSource.build(client, "limits")

    async def send(
        schedule: list[float], first: int, take: list[Record]
    ) -> open_loop.OpenLoopResult:
        return await open_loop.run(
            client,
            prompts,
            schedule,
            prompt_tokens=PROMPT_TOKENS,
            output_tokens=OUTPUT_TOKENS,
            first_index=first,
            on_record=take.append,
        )

    await send(schedules.constant(rate_per_s, seconds=0.5), 0, [])
    schedule = schedules.poisson(rate_per_s, seed=seed, count=count, seconds=seconds)
    with frozen_heap():
        cpu_s = time.process_time()
        result = await send(schedule, 1000, records)
        cpu_s = time.process_time() - cpu_s
    return result, cpu_s


async def measure(rate_per_s: float, seconds: float) -> Seen:
    """One open loop at a calibration server."""
    dialect, origin = CalibrationDialect(), time.monotonic()
    records: list[Record] = []
    async with (
        running_server(ttft_ms=50, itl_ms=5) as server,
        StreamingClient(server.url, dialect, timeout_s=30, clock_origin=origin) as client,
    ):
        result, cpu_s = await send_poisson(client, rate_per_s, "limits", records, seconds=seconds)
    if result.failed:
        sys.exit(f"{result.failed} of {result.requests} requests failed; is the machine very busy?")
    plan = Plan(ttft_ms=50, itl_ms=5, output_tokens=OUTPUT_TOKENS, seconds=seconds)
    name = f"{rate_per_s:g} requests/s"
    load = summarize(name, records, dialect.stamps, origin, plan, cpu_s)
    sent = np.sort([record["sent_s"] for record in records]) - result.start_s
    return Seen(load, sent.tolist(), max(seconds, float(sent[-1])))


def rows(rate_per_s: float, seen: Seen) -> list[tuple[str, str, str, str, bool]]:
    """(what, seen, limit, ratio, met) of one rate."""
    found = []
    for figure, limit in LIMITS[rate_per_s].items():
        value = getattr(seen.load, figure)
        unit, scale = ("s", 1) if figure.startswith("cpu") else ("ms", 1e3)
        words = figure.removesuffix("_s").replace("_", " ")
        shown = (f"{value * scale:.3f} {unit}", f"{limit * scale:g} {unit}", f"{value / limit:.2f}")
        found.append((f"{seen.load.load}: {words}", *shown, value <= limit))
    spread = arrivals.dispersion([seen.sent_s], [seen.seconds])
    gaps = arrivals.gap_correlation([seen.sent_s])
    for words, value, ends, wanted in (
        ("index of dispersion", spread.index, spread.ci, 1.0),
        ("correlation of neighbouring gaps", gaps.r1, gaps.ci, 0.0),
    ):
        if value is None or ends is None:
            sys.exit(f"{words}: too few arrivals; use more --seconds")
        met = ends[0] <= wanted <= ends[1]
        shown = (f"{value:.2f}", f"{ends[0]:.2f}-{ends[1]:.2f}", "")
        found.append((f"{seen.load.load}: {words}, interval holds {wanted:g}", *shown, met))
    return found


def main() -> int:
    """Measure both rates and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="of each rate")
    options = parser.parse_args()
    if not 2 <= options.seconds <= 3600:
        sys.exit("--seconds: use 2 to 3600")
    print(ROW.format("client in an open loop", "seen", "limit", "ratio"))
    all_met = True
    for rate in LIMITS:
        seen = asyncio.run(measure(rate, options.seconds))
        for what, value, limit, ratio, met in rows(rate, seen):
            print(ROW.format(what, value, limit, ratio), "" if met else "NOT MET")
            all_met &= met
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
