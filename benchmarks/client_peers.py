"""Our client beside guidellm, aiperf and vLLM's bench: ``python benchmarks/client_peers.py``.

All send the same load, in turns, to a server of known timing: Poisson arrivals of 64-token requests
at 20 and at 50 requests/s. What each reports is held against the server's own log of arrivals and
of the writing of each token. A cell is the median of the rounds, in brackets its ratio to ours.
Exit status 1 when our client misses a limit, or a peer is better in every round by more than the
row's resolution. A peer whose environment is not made is left out, with the command that makes it;
with --all that is exit status 2.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from peers.clients import CLIENTS, Client, Run
from peers.comparison import OURS, Cell, Found, Line, lines
from peers.figures import figures
from peers.running import run_client
from rich.console import Console
from rich.table import Table

from inferometer.artifacts.catalog import shipped
from inferometer.artifacts.fetch import cached_path
from inferometer.errors import UserError
from inferometer.load.calibration_process import running_server

RATES_PER_S = (20.0, 50.0)
TOKENIZER = "smollm2-135m-f32"
PEERS = [client.name for client in CLIENTS if client.name != OURS]
ROOT = Path(__file__).parents[1]


async def measure(
    clients: list[Client], tokenizer: Path, seconds: float, rounds: int
) -> tuple[Found, dict[str, str]]:
    """Figures of all runs, and why a client has none."""
    found: Found = {}
    failed: dict[str, str] = {}
    async with running_server(ttft_ms=50, itl_ms=5, log=True) as server:
        for number in range(rounds):
            for rate in RATES_PER_S:
                # another client begins each round: the machine may change while a round lasts
                for client in clients[number % len(clients) :] + clients[: number % len(clients)]:
                    if client.name in failed:
                        continue
                    with tempfile.TemporaryDirectory() as folder:
                        count = round(rate * (seconds if rate == RATES_PER_S[0] else seconds / 2))
                        run = Run(server.url, rate, count, number, tokenizer, Path(folder))
                        try:
                            outcome = await asyncio.to_thread(run_client, client, run)
                            one = figures(outcome, client.leading, count)
                        except UserError as error:
                            failed[client.name] = str(error)
                            continue
                    found.setdefault((rate, client.name), []).append(one)
                    words = f"round {number + 1}, {rate:g}/s, {client.name}: {one.wall_s:.0f} s"
                    print(words, file=sys.stderr)
    return found, failed


def testable(clients: list[Client]) -> tuple[list[Client], dict[str, str]]:
    """Clients that can run here, and why others cannot."""
    able, missing = [], {}
    for client in clients:
        try:
            client.require()
        except UserError as error:
            missing[client.name] = str(error)
        else:
            able.append(client)
    return able, missing


def table(made: list[Line], names: list[str]) -> Table:
    """One line for each row, one column for each client."""
    shown = Table(title="Errors of each client; in brackets times ours, for arrivals the interval")
    for heading in ("", "limit", *names, ""):
        shown.add_column(heading, justify="right" if heading else "left")
    for line in made:
        label = f"{line.label}, {line.unit}" if line.unit else line.label
        cells = (_shown(line.cells.get(name), name) for name in names)
        shown.add_row(label, line.limit, *cells, "; ".join(line.fails))
    return shown


def _shown(cell: Cell | None, name: str) -> str:
    if cell is None or cell.value is None:
        return "not exported"
    if cell.interval is not None:
        return f"{cell.value:.2f} [{cell.interval[0]:.2f}, {cell.interval[1]:.2f}]"
    ratio = "" if name == OURS or cell.ratio is None else f" [{cell.ratio:.1f}]"
    return f"{cell.value:.3f}{ratio}"


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8, help="of a run at 20/s; half at 50/s")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokenizer", type=Path, help=f"a folder; else {TOKENIZER} in the cache")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="else all")
    parser.add_argument("--all", action="store_true", help="fail when a peer is left out")
    parser.add_argument("--json", action="store_true", help="print every figure as JSON")
    options = parser.parse_args()
    if not 2 <= options.seconds <= 3600 or options.rounds < 1:
        sys.exit("--seconds: use 2 to 3600; --rounds: 1 or more")
    tokenizer = options.tokenizer or cached_path(TOKENIZER, shipped(), ROOT)
    if not (tokenizer / "tokenizer.json").exists():
        sys.exit(f"{tokenizer}: no tokenizer.json; run `inferometer fetch {TOKENIZER}`")
    begun_s = time.monotonic()
    clients, missing = testable(
        [client for client in CLIENTS if client.name in (OURS, *options.peers)]
    )
    found, failed = asyncio.run(
        measure(clients, tokenizer.resolve(), options.seconds, options.rounds)
    )
    missing |= failed
    if OURS in missing:
        sys.exit(f"our client: {missing[OURS]}")
    names = [client.name for client in clients if client.name not in missing]
    made, wall_s = lines(found, names), time.monotonic() - begun_s
    if options.json:
        runs = [
            {"rate_per_s": rate, "client": name, "rounds": [each.to_dict() for each in rounds]}
            for (rate, name), rounds in found.items()
        ]
        rows = [line.to_dict() for line in made]
        print(json.dumps({"rows": rows, "runs": runs, "missing": missing, "wall_s": wall_s}))
    else:
        console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)
        console.print(table(made, names))
        for name, reason in missing.items():
            console.print(f"{name}: not testable here: {reason}")
        console.print(f"{wall_s:.0f} s")
    if any(line.fails for line in made):
        return 1
    return 2 if missing and options.all else 0


if __name__ == "__main__":
    sys.exit(main())
