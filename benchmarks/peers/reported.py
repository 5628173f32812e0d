"""What a client says about a run, read from the file that it exports.

Times are seconds; those of `start_s` are on the monotonic clock where the client uses it, and on
the wall clock else, as `wall_clock` says.
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request as its client saw it.

    `gaps_s` are the times between its tokens, `None` where only their mean, `mean_gap_s`, is
    exported; `arrived_s` is what the server put into the text, where the text is exported.
    """

    start_s: float
    ttft_s: float
    mean_gap_s: float
    gaps_s: list[float] | None
    arrived_s: float | None = None


@dataclass(frozen=True)
class Reported:
    """All requests of a run in order of their start, and the throughput reported for them."""

    requests: list[Request]
    tokens_per_s: float
    wall_clock: bool


def ours(folder: Path) -> Reported:
    """Records of our client, as `peers.ours` writes them."""
    content = json.loads((folder / "records.json").read_text())
    found, last_s, tokens = [], 0.0, 0
    for record in content["records"]:
        stamps = [us / 1e6 for us in record["token_us"]]
        start_s = content["origin_s"] + record["sent_s"]
        gaps = [later - sooner for sooner, later in pairwise(stamps)]
        found.append(_request(start_s, stamps[0], gaps, record["arrived_s"]))
        last_s, tokens = max(last_s, start_s + stamps[-1]), tokens + len(stamps)
    requests = _in_order(found)
    return Reported(requests, tokens / (last_s - requests[0].start_s), wall_clock=False)


def vllm(folder: Path) -> Reported:
    """The detailed result of `vllm bench serve`: its clock is `time.perf_counter()`."""
    content = json.loads((folder / "vllm.json").read_text())
    rows = zip(
        content["start_times"],
        content["ttfts"],
        content["itls"],
        content["output_lens"],
        content["generated_texts"],
        strict=True,
    )
    # a last event without a token counts as one more gap there
    found = [
        _request(start_s, ttft_s, gaps[: tokens - 1], _arrival(text))
        for start_s, ttft_s, gaps, tokens, text in rows
    ]
    return Reported(_in_order(found), content["output_throughput"], wall_clock=False)


def aiperf(folder: Path) -> Reported:
    """Records and summary of aiperf; requests of its warm-up are left out."""
    found = []
    for line in (folder / "profile_export.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["metadata"]["benchmark_phase"] == "profiling":
            gaps = [ms / 1e3 for ms in row["metrics"]["inter_chunk_latency"]["value"]]
            ttft_s = row["metrics"]["time_to_first_token"]["value"] / 1e3
            found.append(_request(row["metadata"]["request_start_ns"] / 1e9, ttft_s, gaps))
    summary = json.loads((folder / "profile_export_aiperf.json").read_text())
    rate = summary["output_token_throughput"]["avg"]
    return Reported(_in_order(found), rate, wall_clock=True)


def guidellm(folder: Path) -> Reported:
    """The report of guidellm, which keeps of each request the first and the last token alone."""
    benchmark = json.loads((folder / "guidellm.json").read_text())["benchmarks"][0]
    found = []
    for row in benchmark["requests"]["successful"]:
        start_s = row["info"]["timings"]["request_start"]
        ttft_s, mean_s = row["time_to_first_token_ms"] / 1e3, row["inter_token_latency_ms"] / 1e3
        found.append(Request(start_s, ttft_s, mean_s, None, _arrival(row["output"])))
    rate = benchmark["metrics"]["output_tokens_per_second"]["successful"]["mean"]
    return Reported(_in_order(found), rate, wall_clock=True)


def _request(
    start_s: float, ttft_s: float, gaps: list[float], arrived_s: float | None = None
) -> Request:
    return Request(start_s, ttft_s, sum(gaps) / len(gaps), gaps, arrived_s)


def _in_order(requests: list[Request]) -> list[Request]:
    return sorted(requests, key=lambda request: request.start_s)


def _arrival(text: Any) -> float | None:
    """The second word of a calibration server's text."""
    words = str(text).split()
    return float(words[1]) if len(words) > 1 else None
