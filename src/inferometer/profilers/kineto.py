"""Kineto: the Chrome trace of torch.profiler (.json or .json.gz) as a kernel table."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inferometer.errors import UserError
from inferometer.profilers import events
from inferometer.profilers.events import ABSENT, Events
from inferometer.profilers.table import DEVICE_KINDS, KINDS, KernelTable

TRACE_SCHEMA = 1
CATEGORIES = {
    "kernel": "kernel",
    "gpu_memcpy": "memcpy",
    "gpu_memset": "memset",
    "cuda_runtime": "runtime_call",
    "cuda_driver": "runtime_call",
    "cpu_op": "operator",
    "user_annotation": "range",
}
CODES = {category: KINDS.index(kind) for category, kind in CATEGORIES.items()}
BATCH = 50_000


class Arguments(msgspec.Struct, gc=False):
    """What a trace tells about one event beside its time."""

    device: int = ABSENT
    context: int = ABSENT
    stream: int = ABSENT
    correlation: int = ABSENT
    bytes: int = ABSENT
    graph_node: int = msgspec.field(name="graph node id", default=ABSENT)


class Event(msgspec.Struct, gc=False):
    """One event, times in microseconds; `ts` stays text: as a float it is off by a nanosecond."""

    name: str
    cat: str = ""
    ph: str = ""
    pid: int | str = ""
    tid: int | str = ""
    ts: msgspec.Raw = msgspec.Raw()
    dur: float = -1.0
    args: Arguments = msgspec.field(default_factory=Arguments)


class Trace(msgspec.Struct, gc=False):
    """The container; events stay unparsed, so that a large trace never is objects all at once."""

    schema: int | None = msgspec.field(name="schemaVersion", default=None)
    events: list[msgspec.Raw] | None = msgspec.field(name="traceEvents", default=None)


def read_trace(path: Path, require: Collection[str] = ()) -> KernelTable:
    """Read a trace that torch.profiler exported.

    Parameters
    ----------
    path : a `.json`, or a `.json.gz`, of one process.
    require : kinds that must have rows, for example ``("kernel", "runtime_call")``.

    Raises
    ------
    UserError
        The file is missing, truncated, no Kineto trace, of another schema, without events, an
        event lacks a field, or a required kind has no rows.
    """
    trace = _container(path)
    names: dict[str, int] = {}
    parts = []
    raw = trace.events or []
    for begin in range(0, len(raw), BATCH):
        found = _batch(raw[begin : begin + BATCH], names, path)
        if found is not None:
            parts.append(found)
    if not parts:
        raise UserError(f"{path}: holds no events; was the profiler running around the work?")
    joined = events.join(parts)
    del trace, raw, parts
    present = {KINDS[code] for code in np.unique(joined.kind)}
    _require(path, present, require)
    rows = events.to_rows(_in_host_process(joined), list(names), str(path))
    return KernelTable(rows, "kineto", str(TRACE_SCHEMA), frozenset(_traced(present)))


def _container(path: Path) -> Trace:
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        trace = msgspec.json.decode(content, type=Trace)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: no Kineto trace ({error})") from error
    except msgspec.DecodeError as error:
        raise UserError(f"{path}: truncated or no JSON ({error}); export it again") from error
    if trace.events is None:
        raise UserError(f"{path}: no traceEvents; give the file of export_chrome_trace")
    if trace.schema != TRACE_SCHEMA:
        raise UserError(
            f"{path}: schemaVersion {trace.schema}; this library reads {TRACE_SCHEMA}, as "
            "torch.profiler of PyTorch 2 writes it"
        )
    return trace


_EVENTS = msgspec.json.Decoder(list[Event])


def _batch(raw: list[msgspec.Raw], names: dict[str, int], path: Path) -> Events | None:
    """Columns of the events that have a place in the table; new names are added to `names`."""
    try:
        decoded = _EVENTS.decode(b"[" + b",".join(raw) + b"]")
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: an event is not as Kineto writes it ({error})") from error
    found = [event for event in decoded if event.ph == "X" and event.cat in CODES]
    if not found:
        return None
    for event in found:
        if event.name not in names:
            names[event.name] = len(names)
    start = _nanoseconds([event.ts for event in found], path)
    kind = np.array([CODES[event.cat] for event in found], dtype=np.int8)
    try:
        process, thread = _integers(found, "pid", "tid")
    except ValueError as error:
        raise UserError(f"{path}: a pid or tid is no number ({error}); export it again") from error
    device, context, stream, correlation, size, node = _integers(
        [event.args for event in found], *Arguments.__struct_fields__
    )
    on_device = kind < len(DEVICE_KINDS)
    if (stream[on_device] == ABSENT).any():
        raise UserError(f"{path}: a {KINDS[kind[on_device][0]]} event has no args.stream")
    return Events(
        kind=kind,
        name=np.array([names[event.name] for event in found], dtype=np.int32),
        start_ns=start,
        end_ns=start + np.rint(1000 * np.array([event.dur for event in found])).astype(np.int64),
        process=process,
        context=np.where(on_device, context.clip(0), ABSENT),
        lane=np.where(on_device, stream, thread),
        device=np.where(on_device, device, ABSENT),
        correlation=correlation,
        graph_node=np.where(node == 0, ABSENT, node),
        bytes=size,
    )


def _integers(objects: Sequence[object], *fields: str) -> np.ndarray:
    """One row of integers per field."""
    values = chain.from_iterable(map(attrgetter(*fields), objects))
    return np.fromiter(values, dtype=np.int64).reshape(-1, len(fields)).T.copy()


def _nanoseconds(texts: list[msgspec.Raw], path: Path) -> np.ndarray:
    """Exact whole nanoseconds of microseconds in decimal digits."""
    try:
        decimal = pa.array([bytes(text) for text in texts], pa.binary()).cast(pa.string())
        decimal = decimal.cast(pa.decimal128(28, 6))
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: ts is no number ({error})") from error
    scaled = pc.multiply(decimal, pa.scalar(1000, pa.int16()))
    return pc.cast(pc.round(scaled), pa.int64(), safe=False).to_numpy()


def _in_host_process(columns: Events) -> Events:
    """Device rows under the process that launched: Kineto writes the device in their `pid`."""
    on_device = columns.kind < len(DEVICE_KINDS)
    hosts = np.unique(columns.process[~on_device])
    if on_device.any() and len(hosts):
        columns.process[on_device] = hosts[0]
    return columns


def _traced(present: set[str]) -> set[str]:
    device = {*DEVICE_KINDS, "runtime_call"}
    always = {"operator", "range"} if present & {"operator", "range"} else set()
    return always | (device if present & device else set())


def _require(path: Path, present: set[str], require: Collection[str]) -> None:
    missing = [kind for kind in require if kind not in present]
    if missing:
        wanted = [category for category, kind in CATEGORIES.items() if kind in missing]
        raise UserError(
            f"{path}: no {', '.join(missing)} events (category {', '.join(wanted)}); profile "
            "with the activity that records them, around the work"
        )
