"""What our client adds and costs, beside plain loops on aiohttp and httpx.

All drive the same server of known timing in the same run, in turns:

    python benchmarks/client_accuracy.py [--seconds 3] [--rounds 3]
"""

import argparse
import asyncio
import importlib.util
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import numpy as np
from rich.console import Console
from rich.table import Table

from inferometer.load.calibration import RATE_PER_S, STREAMS
from inferometer.load.calibration_process import CalibrationDialect, running_server
from inferometer.load.client import StreamingClient
from inferometer.load.pauses import frozen_heap
from inferometer.stacks.base import GenerationRequest

PROMPT = list(range(64))
OUTPUT_TOKENS = 64


@dataclass
class Taken:
    """Times of one request on the monotonic clock; `turn` is when the client was called."""

    seed: int
    turn: float
    sent: float
    tokens: list[float]


Send = Callable[[GenerationRequest], Awaitable[Taken]]


@asynccontextmanager
async def ours(url: str, dialect: CalibrationDialect) -> AsyncIterator[Send]:
    async with StreamingClient(url, dialect, timeout_s=30, clock_origin=0) as client:

        async def send(request: GenerationRequest) -> Taken:
            record = await client.generate(request, agent=0, sequence=request.seed)
            assert record["status"] == "ok", record["error"]
            stamps = [record["sent_s"] + us / 1e6 for us in record["token_us"]]
            return Taken(request.seed, record["begun_s"], record["sent_s"], stamps)

        yield send


def read(line: bytes, tokens: list[float], dialect: CalibrationDialect) -> None:
    """What a plain loop does with a line: stamp it when it is read."""
    if line.startswith(b"data:"):
        stamp = time.monotonic()
        event = dialect.read_event(line[5:].strip())
        if event is not None and event.carries_token:
            tokens.append(stamp)


@asynccontextmanager
async def plain_aiohttp(url: str, dialect: CalibrationDialect) -> AsyncIterator[Send]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def send(request: GenerationRequest) -> Taken:
            path, body = dialect.request(request)
            now = time.monotonic()
            taken = Taken(request.seed, now, now, [])
            async with session.post(url + path, json=body) as response:
                async for line in response.content:
                    read(line, taken.tokens, dialect)
            return taken

        yield send


@asynccontextmanager
async def plain_httpx(url: str, dialect: CalibrationDialect) -> AsyncIterator[Send]:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=30, limits=limits) as session:

        async def send(request: GenerationRequest) -> Taken:
            path, body = dialect.request(request)
            now = time.monotonic()
            taken = Taken(request.seed, now, now, [])
            async with session.stream("POST", url + path, json=body) as response:
                async for line in response.aiter_lines():
                    read(line.encode(), taken.tokens, dialect)
            return taken

        yield send


CLIENTS = {"ours": ours, "plain aiohttp": plain_aiohttp, "plain httpx": plain_httpx}


async def streams(send: Send, first: int, seconds: float) -> list[Taken]:
    """Closed streams; seeds count up from `first`."""
    end = time.monotonic() + seconds
    taken: list[Taken] = []
    seeds = iter(range(first, first + 10**6))

    async def stream() -> None:
        while time.monotonic() < end:
            taken.append(await send(GenerationRequest(PROMPT, OUTPUT_TOKENS, next(seeds))))

    await asyncio.gather(*(stream() for _ in range(STREAMS)))
    return taken


async def rate(send: Send, first: int, seconds: float) -> list[Taken]:
    """Requests at a constant rate, whoever waits."""
    begin = time.monotonic()
    tasks = []
    for number in range(max(1, round(RATE_PER_S * seconds))):
        await asyncio.sleep(max(0.0, begin + number / RATE_PER_S - time.monotonic()))
        request = GenerationRequest(PROMPT, OUTPUT_TOKENS, first + number)
        tasks.append(asyncio.ensure_future(send(request)))
    return list(await asyncio.gather(*tasks))


LOADS = {f"{STREAMS} streams": streams, f"{RATE_PER_S:g} requests/s": rate}


@dataclass
class Errors:
    """Seconds added to the server's own times, and what the tokens cost."""

    ttft: list[float] = field(default_factory=list)
    ttft_from_turn: list[float] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


async def measure(names: list[str], seconds: float, rounds: int) -> dict[tuple[str, str], Errors]:
    """Errors by (load, client); clients take turns in each round."""
    found: dict[tuple[str, str], Errors] = defaultdict(Errors)
    first = 0
    async with running_server(ttft_ms=50, itl_ms=5) as server:
        for _ in range(rounds):
            for load, name in ((load, name) for load in LOADS for name in names):
                dialect = CalibrationDialect()
                async with CLIENTS[name](server.url, dialect) as send:
                    await streams(send, first, 0)  # opens the connections
                    first += 10**6
                    with frozen_heap():
                        cpu_s = time.process_time()
                        taken = await LOADS[load](send, first, seconds)
                        found[load, name].cpu_s += time.process_time() - cpu_s
                    first += 10**6
                note(found[load, name], taken, dialect)
    return found


def note(errors: Errors, taken: list[Taken], dialect: CalibrationDialect) -> None:
    """Add what each request says beside the server's stamps of the same request."""
    for one in taken:
        server = dialect.stamps[one.seed]
        served_s = server.written_s[0] - server.arrived_s
        errors.ttft.append(one.tokens[0] - one.sent - served_s)
        errors.ttft_from_turn.append(one.tokens[0] - one.turn - served_s)
        errors.stamps += np.subtract(one.tokens, server.written_s).tolist()


def table(found: dict[tuple[str, str], Errors], reference: str) -> Table:
    shown = Table(title="Added by the client, ms (median / p99); in brackets times ours")
    for heading in ("load", "client", "requests", "TTFT", "TTFT from turn", "token stamp"):
        shown.add_column(heading, justify="left" if heading in ("load", "client") else "right")
    shown.add_column("CPU-s per 1,000 tokens", justify="right")
    for (load, name), errors in found.items():
        own = found[load, reference]
        cells = [
            spread(mine, base)
            for mine, base in (
                (errors.ttft, own.ttft),
                (errors.ttft_from_turn, own.ttft_from_turn),
                (errors.stamps, own.stamps),
            )
        ]
        cost, base_cost = (1e3 * each.cpu_s / len(each.stamps) for each in (errors, own))
        cost_cell = f"{cost:.3f} [{cost / base_cost:.1f}]"
        shown.add_row(load, name, str(len(errors.ttft)), *cells, cost_cell)
    return shown


def spread(values: list[float], base: list[float]) -> str:
    p50, p99 = np.quantile(values, [0.5, 0.99]) * 1e3
    return f"{p50:.2f} / {p99:.2f} [{p50 / (np.median(base) * 1e3):.1f}]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3, help="of one load, client and round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    console = Console(highlight=False, markup=False)
    names = list(CLIENTS)
    if importlib.util.find_spec("httpx") is None:
        names.remove("plain httpx")
        console.print("plain httpx: skipped, httpx is not installed (pip install httpx)")
    found = asyncio.run(measure(names, options.seconds, options.rounds))
    console.print(table(found, "ours"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
