"""What a kernel table says: calls per token, busy time, gaps, concurrency, time by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from inferometer.economics import memory
from inferometer.economics.architecture import Architecture
from inferometer.errors import UserError
from inferometer.profilers import intervals
from inferometer.profilers.classes import UNKNOWN
from inferometer.profilers.table import DEVICE_KINDS, KernelTable
from inferometer.stats import equivalence

QUANTILES = (0.5, 0.9, 0.99)
Window = tuple[int, int]


@dataclass(frozen=True)
class Derived:
    """Quantities of one trace; None where the collector did not watch what they need.

    Work is `device` (kernels and memory operations) where a device was traced and `host`
    (operators) elsewhere; `untraced` names the kinds that stay None. Busy time is the union of
    intervals over all streams or threads, so it never passes the window. `gaps_ns` are quantiles
    .5, .9 and .99 of idle times between pieces of work, None with fewer than one gap. Of a phase,
    the window is the union of its ranges and its work, and gaps are the idle times inside that.
    `memory_operation_ns` is time in memory copies and sets, no bandwidth: the bytes that kernels
    read and write are not in a trace. `unknown_share` is of the time by class.
    """

    work: str
    window_ns: int
    tokens: int
    kernels_per_token: float | None
    launches_per_token: float | None
    operators_per_token: float | None
    busy_ns: int
    busy_fraction: float | None
    busy_ns_by_stream: dict[str, int]
    gaps_ns: tuple[float, float, float] | None
    max_concurrency: int
    memory_operation_ns: int | None
    memory_operation_bytes: int | None
    time_by_class: pd.DataFrame
    unknown_share: float | None
    untraced: tuple[str, ...]


def derive(
    table: KernelTable, tokens: int, window: Window | None = None, phase: str | None = None
) -> Derived:
    """Derive everything from a table, or from what one phase of it did.

    Parameters
    ----------
    table : of the steady state alone; load and warm-up would be charged to its tokens.
    tokens : output tokens of all sequences inside the window.
    window : first and last ns; None takes the first start to the last end of the table. An event
        counts when it starts inside; of its time, the part inside counts.
    phase : as in ranges named ``phase/NAME``; None takes all.

    Raises
    ------
    UserError
        No device work and no operators in the window, or a window without length.
    ValueError
        `tokens` is not above 0.
    """
    if tokens <= 0:
        raise ValueError(f"tokens must be above 0, got {tokens}")
    window = window or (int(table.rows["start_ns"].min()), int(table.rows["end_ns"].max()))
    rows = _inside(table.rows, window)
    if phase is not None:
        rows = rows[rows["phase"] == phase]
    on_device = "kernel" in table.traced
    work = rows[rows["kind"].isin(DEVICE_KINDS if on_device else ("operator",))]
    if not len(work):
        raise UserError(
            f"{table.collector} trace: neither device work nor operators between {window[0]} and "
            f"{window[1]} ns; only {', '.join(sorted(table.traced))} were traced"
        )
    start, end = _times(work)
    length, gaps = window[1] - window[0], intervals.gaps_ns(start, end)
    if phase is not None:
        spans = _spans(rows, work)
        length, gaps = int((spans[1] - spans[0]).sum()), intervals.idle_ns(spans, start, end)
    busy = intervals.busy_ns(start, end)
    times = time_by_class(work, nested=not on_device)
    transfers = work[work["kind"].isin(("memcpy", "memset"))]
    return Derived(
        work="device" if on_device else "host",
        window_ns=length,
        tokens=tokens,
        kernels_per_token=_calls(table, rows, "kernel", tokens),
        launches_per_token=_calls(table, rows, "runtime_call", tokens, "launch"),
        operators_per_token=_calls(table, rows, "operator", tokens),
        busy_ns=busy,
        busy_fraction=busy / length if length else None,
        busy_ns_by_stream=busy_by_stream(work),
        gaps_ns=_quantiles(gaps),
        max_concurrency=concurrency(work),
        memory_operation_ns=int(transfers["duration_ns"].sum()) if on_device else None,
        memory_operation_bytes=int(transfers["bytes"].sum()) if on_device else None,
        time_by_class=times,
        unknown_share=_share(times, UNKNOWN),
        untraced=tuple(k for k in ("kernel", "runtime_call", "operator") if k not in table.traced),
    )


def time_by_class(work: pd.DataFrame, nested: bool = False) -> pd.DataFrame:
    """Calls, time and share of the summed time of each class, longest first.

    On a device, kernels on several streams may overlap: the sum can pass the busy time. Operators
    are `nested`: each is charged its own time without its children's.
    """
    start, end = _times(work)
    spent = (
        intervals.self_ns(start, end, work["stream"].cat.codes.to_numpy())
        if nested
        else end - start
    )
    grouped = pd.DataFrame({"class": work["class"], "time_ns": spent}).groupby(
        "class", observed=True
    )
    summed = grouped.agg(calls=("time_ns", "size"), time_ns=("time_ns", "sum"))
    total = summed["time_ns"].sum()
    summed["share"] = summed["time_ns"] / total if total else np.nan
    return summed.sort_values("time_ns", ascending=False)


def concurrency(work: pd.DataFrame) -> int:
    """Most pieces of work at one instant: kernels on a device, threads in operators on a host."""
    if (work["kind"] != "operator").any():
        return intervals.max_concurrency(*_times(work))
    parts = [intervals.union(*_times(rows)) for _, rows in work.groupby("stream", observed=True)]
    return intervals.max_concurrency(*(np.concatenate(side) for side in zip(*parts, strict=True)))


def busy_by_stream(work: pd.DataFrame) -> dict[str, int]:
    """Busy nanoseconds of each stream or thread."""
    groups = work.groupby("stream", observed=True)
    return {str(stream): intervals.busy_ns(*_times(rows)) for stream, rows in groups}


def bytes_per_token(
    architecture: Architecture,
    *,
    bits_per_weight: float,
    context_tokens: float,
    sequences: float,
    kv_bytes_per_value: float = 2,
) -> float:
    """Bytes that one token must read, by the arithmetic of the model, not by a counter.

    A decode step reads the active weights once for all sequences, and for each sequence the KV
    cache of its context: weights / sequences + KV. Traces hold no such count: the bytes of memory
    copies are a different thing.
    """
    weights = memory.weight_bytes(architecture.active_params, bits_per_weight)
    return weights / sequences + memory.kv_bytes(architecture, context_tokens, kv_bytes_per_value)


def profiling_overhead(
    profiled: ArrayLike, unprofiled: ArrayLike, low: float, upp: float
) -> equivalence.Equivalence:
    """Paired TOST of profiled against unprofiled twins, one value (time or rate) per block.

    `low` and `upp` enclose 1: the ratio within which the profiler counts as harmless.
    """
    return equivalence.tost_paired(profiled, unprofiled, low, upp, scale="ratio")


def _inside(rows: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Rows that start in the window, their ends cut at its end."""
    low, high = window
    if high < low:
        raise UserError(f"window: its end, {high} ns, is before its start, {low} ns")
    kept = rows[(rows["start_ns"] >= low) & (rows["start_ns"] <= high)]
    if (kept["end_ns"] <= high).all():
        return kept
    ends = kept["end_ns"].clip(upper=high)
    return kept.assign(end_ns=ends, duration_ns=ends - kept["start_ns"])


def _spans(rows: pd.DataFrame, work: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """When a phase was: its ranges, and its device work, which may outlast them."""
    ranges = _times(rows[rows["kind"] == "range"])
    joined = [np.concatenate(side) for side in zip(ranges, _times(work), strict=True)]
    return intervals.union(joined[0], joined[1])


def _times(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return rows["start_ns"].to_numpy(), rows["end_ns"].to_numpy()


def _calls(
    table: KernelTable, rows: pd.DataFrame, kind: str, tokens: int, label: str | None = None
) -> float | None:
    """Calls per token, None where the collector did not watch for them."""
    if kind not in table.traced:
        return None
    counted = rows["kind"] == kind
    if label is not None:
        counted &= rows["class"] == label
    return int(counted.sum()) / tokens


def _quantiles(gaps: np.ndarray) -> tuple[float, float, float] | None:
    if not len(gaps):
        return None
    half, most, nearly_all = np.quantile(gaps, QUANTILES).tolist()
    return half, most, nearly_all


def _share(times: pd.DataFrame, label: str) -> float | None:
    if times["share"].isna().any():
        return None
    return float(times["share"].get(label, 0.0))
