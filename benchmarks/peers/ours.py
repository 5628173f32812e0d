"""Our client as a process of its own: ``python -m peers.ours URL RATE REQUESTS SEED FOLDER``."""

import asyncio
import json
import sys
import time
from pathlib import Path

from client_limits import send_poisson

from inferometer.load.calibration_process import CalibrationDialect
from inferometer.load.client import StreamingClient
from inferometer.records import Record


async def run(url: str, rate_per_s: float, requests: int, seed: str) -> dict[str, object]:
    """Send the requests, and give their records with what the server said of their arrival."""
    dialect, origin_s = CalibrationDialect(), time.monotonic()
    records: list[Record] = []
    async with StreamingClient(url, dialect, timeout_s=30, clock_origin=origin_s) as client:
        await send_poisson(client, rate_per_s, seed, records, count=requests)
    rows = [
        {
            "sent_s": record["sent_s"],
            "token_us": record["token_us"],
            "arrived_s": dialect.stamps[record["seed"]].arrived_s,
        }
        for record in records
        if record["status"] == "ok"
    ]
    return {"origin_s": origin_s, "records": rows}


if __name__ == "__main__":
    url, rate, requests, seed, folder = sys.argv[1:]
    content = asyncio.run(run(url, float(rate), int(requests), seed))
    (Path(folder) / "records.json").write_text(json.dumps(content))
