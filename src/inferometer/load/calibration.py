"""What the client itself adds to the times it takes: measured against a server of known timing.

The server says in each event when the request arrived and when the event was written, by the
clock that the client uses; so its own lateness is not charged to the client.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from inferometer.errors import UserError
from inferometer.load import closed_loop, open_loop, schedules
from inferometer.load.calibration_process import CalibrationDialect, running_server
from inferometer.load.client import StreamingClient
from inferometer.load.client_error import LIMITS, LoadCalibration, Plan, summarize
from inferometer.load.pauses import frozen_heap
from inferometer.load.prompts import PromptSource
from inferometer.records import Record

STREAMS = 8
RATE_PER_S = 20.0
PROMPT_TOKENS = 64
TIMEOUT_S = 30.0

QUICK = Plan(ttft_ms=15, itl_ms=2, output_tokens=64, seconds=0.5)
FULL = Plan(ttft_ms=50, itl_ms=5, output_tokens=64, seconds=10)


@dataclass(frozen=True)
class Calibration:
    """The client's error in a closed loop of 8 streams and at 20 requests/s."""

    quick: bool
    plan: Plan
    streams: LoadCalibration
    rate: LoadCalibration
    wall_s: float

    def beyond_limits(self) -> list[str]:
        """Figures that pass their limits, as `streams.added_ttft_p50_s`; empty where all hold."""
        return [
            f"{name}.{figure}"
            for name, load in (("streams", self.streams), ("rate", self.rate))
            for figure in load.beyond_limits()
        ]

    def to_dict(self) -> dict[str, Any]:
        """For the manifest: every figure, the limits, and those not met."""
        return {**asdict(self), "limits": LIMITS, "beyond_limits": self.beyond_limits()}


async def calibrate(*, quick: bool, seconds: float | None = None) -> Calibration:
    """Measure this process's client, on this machine, now.

    `quick` takes at most 2 s, with fewer requests at a faster pace: what each session does.
    Otherwise each of the two loads lasts `seconds` (10 unless told).
    """
    begun = time.monotonic()
    plan = QUICK if quick else FULL
    if seconds is not None:
        plan = Plan(plan.ttft_ms, plan.itl_ms, plan.output_tokens, seconds)
    dialect = CalibrationDialect()
    async with (
        running_server(plan.ttft_ms, plan.itl_ms) as server,
        StreamingClient(server.url, dialect, timeout_s=TIMEOUT_S, clock_origin=begun) as client,
    ):
        prompts = await PromptSource.build(client, "calibration")
        bench = _Bench(client, prompts, dialect, plan)
        await bench.warm_up()
        streams = await bench.measure(f"{STREAMS} streams", bench.closed)
        rate = await bench.measure(f"{RATE_PER_S:g} requests/s", bench.open)
    return Calibration(quick, plan, streams, rate, round(time.monotonic() - begun, 3))


class _Bench:
    """A client at a calibration server."""

    def __init__(
        self,
        client: StreamingClient,
        prompts: PromptSource,
        dialect: CalibrationDialect,
        plan: Plan,
    ) -> None:
        self._client = client
        self._prompts = prompts
        self._stamps = dialect.stamps
        self._plan = plan
        self._index = 0
        self._records: list[Record] = []

    async def warm_up(self) -> None:
        """Open the connections and run every path once."""
        await self._closed_loop(seconds=0, tokens=2)

    async def closed(self) -> None:
        await self._closed_loop(self._plan.seconds, self._plan.output_tokens)

    async def _closed_loop(self, seconds: float, tokens: int) -> None:
        await closed_loop.run(
            self._client,
            self._prompts,
            agents=STREAMS,
            think_s=0,
            quota=1,
            min_s=seconds,
            prompt_tokens=PROMPT_TOKENS,
            output_tokens=tokens,
            first_index=self._index,
            deadline_s=seconds + TIMEOUT_S,
            on_record=self._take,
        )

    async def open(self) -> None:
        await open_loop.run(
            self._client,
            self._prompts,
            schedules.constant(RATE_PER_S, count=max(1, round(RATE_PER_S * self._plan.seconds))),
            prompt_tokens=PROMPT_TOKENS,
            output_tokens=self._plan.output_tokens,
            first_index=self._index,
            on_record=self._take,
        )

    def _take(self, record: Record) -> None:
        self._index += 1
        self._records.append(record)

    async def measure(
        self, name: str, load: Callable[[], Coroutine[Any, Any, None]]
    ) -> LoadCalibration:
        """Run a load and compare its records with what the server says."""
        self._records = []
        with frozen_heap():  # its own cost, paid once for each load, is none of the tokens'
            cpu_s = time.process_time()
            await load()
            cpu_s = time.process_time() - cpu_s
        good = [record for record in self._records if record["status"] == "ok"]
        if len(good) < len(self._records):
            worst = next(record for record in self._records if record["status"] != "ok")
            raise UserError(
                f"calibration: {worst['status']}: {worst['error']}; is the machine very busy?"
            )
        return summarize(name, good, self._stamps, self._client.clock_origin, self._plan, cpu_s)


ROWS = (
    # figure, words, unit, factor to the unit
    ("requests", "requests", "", 1),
    ("tokens", "tokens", "", 1),
    ("added_ttft_p50_s", "added TTFT, median", "ms", 1e3),
    ("added_ttft_p99_s", "added TTFT, p99", "ms", 1e3),
    ("token_stamp_error_p50_s", "token stamp error, median", "ms", 1e3),
    ("token_stamp_error_p99_s", "token stamp error, p99", "ms", 1e3),
    ("send_delay_p50_s", "turn to socket, median", "ms", 1e3),
    ("send_delay_p99_s", "turn to socket, p99", "ms", 1e3),
    ("schedule_lag_p50_s", "schedule lag, median", "ms", 1e3),
    ("schedule_lag_p99_s", "schedule lag, p99", "ms", 1e3),
    ("server_lateness_p99_s", "(the server's own lateness, p99)", "ms", 1e3),
    ("cpu_s_per_1000_tokens", "CPU per 1,000 tokens", "s", 1),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `inferometer calibrate`."""
    parser.add_argument("--json", action="store_true", help="print every figure as JSON")
    parser.add_argument(
        "--seconds", type=float, default=FULL.seconds, help="length of each of the two loads"
    )


def run_command(args: argparse.Namespace) -> int:
    """Calibrate and print; the exit status is 0 also when a limit is not met."""
    if not 0 < args.seconds <= 3600:
        raise UserError(f"--seconds {args.seconds:g}: use a number above 0, at most 3600")
    calibration = asyncio.run(calibrate(quick=False, seconds=args.seconds))
    if args.json:
        print(json.dumps(calibration.to_dict(), indent=2))
    else:
        Console(highlight=False).print(table(calibration))
    return 0


def table(calibration: Calibration) -> Table:
    """The figures of both loads with their limits."""
    loads = (calibration.streams, calibration.rate)
    shown = Table(title="What the client adds, against a server of known timing")
    for heading in ("", *(load.load for load in loads), "limit", ""):
        shown.add_column(heading, justify="left" if heading == "" else "right")
    for figure, words, unit, factor in ROWS:
        values = [getattr(load, figure) for load in loads]
        limit = LIMITS.get(figure)
        verdict = ""
        if limit is not None:
            met = all(value is None or value <= limit for value in values)
            verdict = "[green]met[/]" if met else "[red]not met[/]"
        cells = (_cell(value, unit, factor) for value in (*values, limit))
        shown.add_row(words, *cells, verdict)
    return shown


def _cell(value: float | None, unit: str, factor: float) -> str:
    if value is None:
        return ""
    return f"{value * factor:.3f} {unit}" if unit else f"{value:,}"
