"""Traces of one run as compact records: derived quantities by phase, and a table of operations.

The traces themselves are not kept: they name processes, hosts and paths, and a run of a second
fills a hundred megabytes. Their sha256 and size are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from inferometer.errors import UserError
from inferometer.profilers import derived, intervals, kineto, table
from inferometer.profilers.derived import Derived
from inferometer.profilers.table import KernelTable
from inferometer.records import Record

PHASES = ("prefill", "decode", "mixed")
OUTSIDE = "outside"
"""The phase of work that no range of the program covers."""
OPERATIONS = ("operator", "kernel", "memcpy", "memset", "runtime_call")
KEPT_NAMES = 12
"""Names with records of their own, those with the most time in the trace; the others are summed by
phase, kind and class, so that every class keeps its exact count and time."""
OTHERS = "(others)"


def records_of(paths: Sequence[Path], sequences: int, tokens_each: int) -> list[Record]:
    """Records of kind `trace` (one a phase and one of `all`) and `operation`; removes the traces.

    Parameters
    ----------
    paths : Kineto traces of one run, one per process.
    sequences, tokens_each : what the run generated while it was traced.

    Raises
    ------
    UserError
        There is no trace, or one is empty, truncated or without operators and device work.
    """
    try:
        if not paths:
            raise UserError("the profiler wrote no trace")
        digest, size = _fingerprint(paths)
        joined = table.concat(_read(path) for path in paths)
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
    phases = [name for name in PHASES if (joined.rows["phase"] == name).any()]
    tokens = _tokens(phases, sequences, tokens_each)
    found: list[Record] = []
    for phase in (*phases, "all"):
        # for one token, calls per token are the calls themselves
        seen = derived.derive(joined, 1, phase=None if phase == "all" else phase)
        found.append(
            {
                **{"kind": "trace", "phase_of_work": phase, "collector": joined.collector},
                **{"tokens": tokens[phase], **_quantities(seen)},
                **{"trace_sha256": digest, "trace_bytes": size},
            }
        )
    return found + operations(joined)


def operations(joined: KernelTable) -> list[Record]:
    """How often each operation was called and the time it took, by phase.

    Seconds of an operator are its own, without its children's; of the others, their duration.
    """
    rows = joined.of(*OPERATIONS)
    start, end = rows["start_ns"].to_numpy(), rows["end_ns"].to_numpy()
    spent = end - start
    nested = (rows["kind"] == "operator").to_numpy()
    lanes = rows["stream"].cat.codes.to_numpy()
    spent[nested] = intervals.self_ns(start[nested], end[nested], lanes[nested])
    plain = pd.DataFrame(
        {
            "phase_of_work": rows["phase"].astype(object).fillna(OUTSIDE),
            "name": rows["name"].astype(object),
            "class": rows["class"].astype(object),
            "operation_kind": rows["kind"].astype(object),
            "self_ns": spent,
        }
    )
    longest = plain.groupby("name")["self_ns"].sum().nlargest(KEPT_NAMES).index
    plain["name"] = plain["name"].where(plain["name"].isin(longest), OTHERS)
    keys = ["phase_of_work", "operation_kind", "class", "name"]
    summed = plain.groupby(keys)["self_ns"].agg(["size", "sum"]).reset_index()
    return [
        {
            **{"kind": "operation", "phase_of_work": phase, "name": name, "class": label},
            **{"operation_kind": kind, "count": int(count), "self_s": _seconds(ns)},
        }
        for phase, kind, label, name, count, ns in summed.itertuples(index=False)
    ]


def _read(path: Path) -> KernelTable:
    try:
        return kineto.read_trace(path)
    except UserError as error:  # its folder is a temporary one of this machine
        raise UserError(str(error).replace(f"{path.parent}/", "")) from error


def _fingerprint(paths: Sequence[Path]) -> tuple[str, int]:
    """sha256 over all traces in their order, and their bytes together."""
    digest, size = hashlib.sha256(), 0
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path.name}: cannot be read ({error.strerror})") from error
        digest.update(content)
        size += len(content)
    return digest.hexdigest(), size


def _tokens(phases: Sequence[str], sequences: int, tokens_each: int) -> dict[str, int | None]:
    """Output tokens by phase: a prefill gives each sequence its first one, decode the others.

    Where steps mix the two, only the sum is known.
    """
    if "mixed" in phases or not phases:
        return {**dict.fromkeys(PHASES), "all": sequences * tokens_each}
    each = {"prefill": 1, "decode": tokens_each - 1, "all": tokens_each}
    return {phase: sequences * count for phase, count in each.items()}


def _quantities(seen: Derived) -> Record:
    gaps = seen.gaps_ns or (None, None, None)
    return {
        "work": seen.work,
        "window_s": _seconds(seen.window_ns),
        "busy_s": _seconds(seen.busy_ns),
        "busy_fraction": _share(seen.busy_fraction),
        "operators": _count(seen.operators_per_token),
        "kernels": _count(seen.kernels_per_token),
        "launches": _count(seen.launches_per_token),
        "max_concurrency": seen.max_concurrency,
        **{
            f"gap_{name}_s": _seconds(gap)
            for name, gap in zip(("p50", "p90", "p99"), gaps, strict=True)
        },
        "memory_operation_s": _seconds(seen.memory_operation_ns),
        "unknown_share": _share(seen.unknown_share),
    }


def _count(per_token: float | None) -> int | None:
    return None if per_token is None else round(per_token)


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _seconds(ns: float | None) -> float | None:
    return None if ns is None else round(float(ns) * 1e-9, 9)
