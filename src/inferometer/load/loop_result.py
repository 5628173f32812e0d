"""What a closed loop did: its window, the tokens inside it, and whether the cell is valid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from inferometer.design import Gates
from inferometer.records import Record

StopReason = Literal["quota met", "deadline", "server gone"]


@dataclass(frozen=True)
class OverrunSummary:
    """How much later than asked agents woke from thinking; `None` where none thought."""

    count: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None


@dataclass(frozen=True)
class LoopResult:
    """What a closed loop did; times are seconds since the client's origin.

    The window is `None` where not every agent had sent before sending stopped. `requests` is
    also the number of prompt indices used, from `first_index`.
    """

    window_start_s: float | None
    window_end_s: float | None
    requests: int
    failed: int
    per_agent_counts: tuple[int, ...]
    stop_reason: StopReason
    think_overruns: OverrunSummary


def summarize(overruns: Sequence[float]) -> OverrunSummary:
    """Count and quantiles of think overruns in seconds."""
    if not overruns:
        return OverrunSummary(0, None, None, None)
    p50_s, p99_s, max_s = (round(float(q), 6) for q in np.quantile(overruns, [0.5, 0.99, 1]))
    return OverrunSummary(len(overruns), p50_s, p99_s, max_s)


def window_tokens(record: Record, start_s: float, end_s: float) -> float:
    """Tokens of a record that arrived in the window [start_s, end_s).

    Where the server counted another number of tokens than events arrived, each event weighs
    the ratio of the two.
    """
    token_us = record["token_us"]
    if not token_us:
        return 0.0
    # whole microseconds, as all stamps are: windows that meet share no token
    low, high = (round((bound - record["sent_s"]) * 1e6) for bound in (start_s, end_s))
    inside = sum(low <= stamp < high for stamp in token_us)
    counted = record["completion_tokens"]
    weight = 1.0 if counted is None else counted / len(token_us)
    return inside * weight


def cell_gates(records: Sequence[Record], result: LoopResult, gates: Gates) -> list[str]:
    """Why a cell is invalid, one reason a line; empty where it is valid.

    `records` are all request records of the cell, failed ones included.
    """
    reasons = []
    if result.stop_reason == "server gone":
        reasons.append("the server stopped answering")
    failed = [record for record in records if record["status"] != "ok"]
    if not records:
        reasons.append("no request")
    elif len(failed) / len(records) > gates.failed_fraction:
        reasons.append(
            f"{len(failed)} of {len(records)} requests failed (limit {gates.failed_fraction:g}); "
            f"the first: {failed[0]['status']}: {failed[0]['error']}"
        )
    overrun_s = result.think_overruns.p99_s
    if overrun_s is not None and overrun_s > gates.think_overrun_p99_s:
        reasons.append(
            f"agents woke late from thinking: p99 {overrun_s * 1e3:.1f} ms "
            f"(limit {gates.think_overrun_p99_s * 1e3:g} ms)"
        )
    return reasons + content_reasons(records) + _window_reasons(records, result)


def content_reasons(records: Sequence[Record]) -> list[str]:
    """Requests whose work was not the work that was asked for."""
    good = [record for record in records if record["status"] == "ok"]
    checks = (
        (
            "took prompt tokens from a cache",
            lambda r: r["cached_tokens"] not in (None, 0),
        ),
        (
            "have another output length than forced",
            lambda r: r["completion_tokens"] not in (None, r["output_tokens_asked"]),
        ),
        (
            "have another prompt length than asked",
            lambda r: (
                None not in (r["prompt_tokens"], r["prompt_tokens_asked"])
                and r["prompt_tokens"] != r["prompt_tokens_asked"]
            ),
        ),
    )
    counts = ((text, sum(map(check, good))) for text, check in checks)
    return [f"{count} of {len(good)} answers {text}" for text, count in counts if count]


def _window_reasons(records: Sequence[Record], result: LoopResult) -> list[str]:
    start_s, end_s = result.window_start_s, result.window_end_s
    if start_s is None or end_s is None or end_s <= start_s:
        return ["no window in which all agents were active"]
    active = {record["agent"] for record in records if start_s <= record["sent_s"] <= end_s}
    idle = [agent for agent in range(len(result.per_agent_counts)) if agent not in active]
    if not idle:
        return []
    return [f"agents that sent nothing in the window: {', '.join(map(str, idle))}"]
