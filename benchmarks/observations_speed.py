"""Time the way from raw records to block summaries: ``python benchmarks/observations_speed.py``.

Writes raw files of made-up request records in the real format to a temporary folder (that part
is not timed), then tidies them and summarises their cells. Limits: 10 s and 1.5 GB for 1,000,000
records. Exit status 1 when one is passed.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

SESSIONS, TOKENS = 50, 8
LIMIT_S, LIMIT_BYTES = 10.0, 1.5e9


def write_session(results: Path, number: int, records: int) -> None:
    """One session of `records` requests in eight cells, sealed."""
    from inferometer import manifest

    rng = random.Random(number)
    raw = results / "raw" / "made-up" / f"{number:02d}.jsonl"
    raw.parent.mkdir(parents=True, exist_ok=True)
    per_cell = records // 8
    lines = []
    for cell in range(8):
        for index in range(per_cell):
            sent = cell * per_cell * 0.01 + index * 0.01
            stamps = [20_000 + 6_000 * token + rng.randrange(500) for token in range(TOKENS)]
            lines.append(request(cell, index, cell + 1, sent, stamps))
        start = cell * per_cell * 0.01
        lines.append(
            {"kind": "cell", "cell": cell, "phase": "scaling", "valid": True, "reasons": [],
             "levels": {"agents": cell + 1, "think_ms": 0}, "started_s": start,
             "ended_s": start + per_cell * 0.01, "window_start_s": start,
             "window_end_s": start + per_cell * 0.01}
        )  # fmt: skip
    text = "".join(json.dumps({"schema_version": 1, **line}) + "\n" for line in lines)
    raw.write_text(text)
    content = {
        "session": f"made-up/{number:02d}", "sut": "made-up", "block": number,
        "timing": {"wall_s": 60.0, "cells_s": 50.0},
        "noise": {"block": {"steal_fraction": 0.0, "foreign_cpu_fraction": 0.0}, "noisy": False},
        "calibration": {"streams": {}, "rate": {}},
    }  # fmt: skip
    manifest.seal(raw, content, target=manifest.path_for(raw))


def request(cell: int, index: int, agents: int, sent: float, token_us: list[int]) -> dict:
    """A request record as the client writes it."""
    return {
        "kind": "request", "cell": cell, "agent": index % agents, "server": 0,
        "sequence": index // agents, "seed": index, "scheduled_s": None, "sent_s": sent,
        "in_flight_at_send": 0, "prompt_tokens_asked": 32, "output_tokens_asked": TOKENS,
        "first_token_s": sent + token_us[0] / 1e6, "last_token_s": sent + token_us[-1] / 1e6,
        "done_s": sent + token_us[-1] / 1e6 + 0.0001, "token_us": token_us,
        "prompt_tokens": 32, "completion_tokens": TOKENS, "cached_tokens": 0,
        "tokens_agree": True, "server_queue_s": None, "server_prefill_s": 0.018,
        "server_decode_s": 0.04, "finish_reason": "length", "status": "ok", "error": None,
        "think_overrun_s": None,
    }  # fmt: skip


def main() -> int:
    """Print one row a step; times are of this run, the ratio is to reading the bytes alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    count = parser.parse_args().records
    from inferometer import tidy
    from inferometer.load import summary

    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        for number in range(SESSIONS):
            write_session(results, number, count // SESSIONS)
        size = sum(path.stat().st_size for path in results.glob("raw/*/*.jsonl"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        marks = [time.perf_counter()]
        for path in results.glob("raw/*/*.jsonl"):
            path.read_bytes()
        marks.append(time.perf_counter())
        table = tidy.observations(results)
        marks.append(time.perf_counter())
        cells = summary.cells(table, ["agents", "think_ms"])
        marks.append(time.perf_counter())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    reading = marks[1] - marks[0]
    print(f"{len(table):,} records of {TOKENS} tokens, {size / 1e6:.0f} MB, {SESSIONS} sessions")
    print(f"{'step':22} {'seconds':>8} {'x reading':>10}")
    steps = ("reading the bytes", "raw to observations", f"{len(cells)} block summaries")
    for name, begun, ended in zip(steps, marks, marks[1:], strict=False):
        print(f"{name:22} {ended - begun:8.2f} {(ended - begun) / reading:10.1f}")
    total = marks[3] - marks[1]
    print(f"{'observations + cells':22} {total:8.2f}   limit {LIMIT_S:g} s")
    print(f"{'peak memory':22} {peak / 1e9:8.2f}   GB, limit 1.5 GB ({before / 1e9:.2f} before)")
    return int(total > LIMIT_S or peak > LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
