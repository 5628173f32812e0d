"""The SQLite export of Nsight Systems as a kernel table: every table and column is checked."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from inferometer.errors import UserError
from inferometer.profilers import events
from inferometer.profilers.events import ABSENT, Events
from inferometer.profilers.table import KINDS, KernelTable

SCHEMA_MAJOR = "3"
METADATA = ("EXPORT_META_DATA", "META_DATA_EXPORT")
"""The table of the export's own version, as 2022 and later versions call it."""
NAMES = ("StringIds", "ENUM_CUDA_MEMCPY_OPER")
"""Tables of names, which every export holds."""
PUSH_POP, START_END = 59, 60
"""Event types of NVTX ranges; the other types are marks, names and domains."""
CUDA = frozenset({"kernel", "memcpy", "memset", "runtime_call"})
WHOLE_GRAPHS = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"

MASK = 0xFFFFFF
"""A serialized id is hardware (8 bits), machine (8), process (24), thread (24)."""


@dataclass(frozen=True)
class Source:
    """One table of the export: its kind in the kernel table and its column for each of ours."""

    kind: str
    table: str
    end: str = "end"
    name: str = "nameId"
    lane: str = "globalTid"
    owner: str = "globalTid"
    context: str | None = None
    device: str | None = None
    correlation: str | None = None
    graph_node: str | None = None
    bytes: str | None = None

    def columns(self) -> dict[str, str | None]:
        """The columns to read, in the order in which `_events` takes them apart."""
        return {
            "start": "start",
            "end": self.end,
            "name": self.name,
            "owner": self.owner,
            "lane": self.lane,
            "context": self.context,
            "device": self.device,
            "correlation": self.correlation,
            "graph_node": self.graph_node,
            "bytes": self.bytes,
        }


def _device(kind: str, name: str, size: str | None) -> Source:
    return Source(
        kind,
        f"CUPTI_ACTIVITY_KIND_{kind.upper()}",
        name=name,
        lane="streamId",
        owner="globalPid",
        context="contextId",
        device="deviceId",
        correlation="correlationId",
        graph_node="graphNodeId",
        bytes=size,
    )


SOURCES = (
    _device("kernel", "demangledName", None),
    _device("memcpy", "copyKind", "bytes"),
    _device("memset", "value", "bytes"),
    Source("runtime_call", "CUPTI_ACTIVITY_KIND_RUNTIME", correlation="correlationId"),
    Source("range", "NVTX_EVENTS", name="textId"),
    Source("os_call", "OSRT_API"),
)


def read_sqlite(path: Path, require: Collection[str] = ()) -> KernelTable:
    """Read what ``nsys export --type sqlite`` wrote.

    Parameters
    ----------
    path : the export.
    require : kinds that must have rows. The export leaves out tables without rows, so a trace
        that should hold kernels and does not is told apart from one that never looked.

    Raises
    ------
    UserError
        The file is missing, truncated or no export; its schema version is another; a table or
        column is missing; CUDA graphs were traced as a whole; nothing was recorded; a required
        kind has no rows.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; export the report with nsys export --type sqlite")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return _read(database, path, require)
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"{path}: truncated or no SQLite file ({error}); export the report again"
        ) from error


def _read(database: sqlite3.Connection, path: Path, require: Collection[str]) -> KernelTable:
    present = {row[0] for row in database.execute("select name from sqlite_master")}
    version = _version(database, present, path)
    if WHOLE_GRAPHS in present:
        raise UserError(
            f"{path}: table {WHOLE_GRAPHS}: CUDA graphs were traced as a whole, their kernels are "
            "missing; record with --cuda-graph-trace=node"
        )
    for table in NAMES:
        if table not in present:
            raise UserError(f"{path}: no table {table}; export the report again")
    names: dict[str, int] = {}
    parts = {}
    for source in SOURCES:
        if source.table in present:
            _check_columns(database, source, path)
            found = _events(database, source, names)
            if len(found.kind):
                parts[source.kind] = found
    for source in SOURCES:
        if source.kind in require and source.kind not in parts:
            state = "has no rows" if source.table in present else "is missing"
            raise UserError(
                f"{path}: table {source.table} {state}, so there is no {source.kind}; was it "
                "traced (--trace), and did the work run inside the capture range?"
            )
    if not parts:
        raise UserError(f"{path}: holds no events; did the capture range enclose the work?")
    rows = events.to_rows(events.join(list(parts.values())), list(names), str(path))
    traced = set(parts) | (CUDA if CUDA & set(parts) else set())
    return KernelTable(rows, "nsys", version, frozenset(traced))


def _version(database: sqlite3.Connection, present: set[str], path: Path) -> str:
    table = next((name for name in METADATA if name in present), None)
    if table is None:
        raise UserError(f"{path}: no table {METADATA[0]}; this is no export of nsys 2022 or later")
    about = dict(database.execute(f"select name, value from {table}"))
    schema = about.get("EXPORT_SCHEMA_VERSION")
    if schema is None or schema.split(".")[0] != SCHEMA_MAJOR:
        raise UserError(
            f"{path}: export schema version {schema}; this library reads {SCHEMA_MAJOR}.x: export "
            "the report with an nsys that writes it"
        )
    return f"{about.get('EXPORT_PRODUCT_VERSION', 'unknown')} (schema {schema})"


def _check_columns(database: sqlite3.Connection, source: Source, path: Path) -> None:
    found = {row[1] for row in database.execute(f"pragma table_info({source.table})")}
    wanted = {column for column in source.columns().values() if column}
    if source.kind == "range":
        wanted |= {"text", "eventType"}
    missing = sorted(wanted - found)
    if missing:
        raise UserError(
            f"{path}: table {source.table} has no column {', '.join(missing)}; this nsys writes "
            "another layout, and nothing is concluded from its trace"
        )


def _events(database: sqlite3.Connection, source: Source, names: dict[str, int]) -> Events:
    """Columns of one table; names are added to `names`."""
    columns = [
        f"ifnull({column}, {ABSENT})" if column else str(ABSENT)
        for column in (f'"{name}"' if name else None for name in source.columns().values())
    ]
    where = "" if source.kind != "range" else f"where eventType in ({PUSH_POP}, {START_END})"
    cursor = database.execute(f"select {', '.join(columns)} from {source.table} {where}")
    flat = np.fromiter(chain.from_iterable(cursor), dtype=np.int64)
    start, end, name, owner, lane, context, device, correlation, node, size = flat.reshape(
        -1, len(columns)
    ).T.copy()
    if source.kind == "range":
        # a range that was open when the capture ended lasts as long as the capture did
        end = np.where(end == ABSENT, max(end.max(initial=0), start.max(initial=0)), end)
    return Events(
        kind=np.full(len(start), KINDS.index(source.kind), dtype=np.int8),
        name=_names(database, source, name, names),
        start_ns=start,
        end_ns=end,
        process=(owner >> 24) & MASK,
        context=context,
        lane=lane & MASK if source.lane == "globalTid" else lane,
        device=device,
        correlation=correlation,
        graph_node=np.where(node == 0, ABSENT, node),
        bytes=size,
    )


def _names(
    database: sqlite3.Connection, source: Source, ids: np.ndarray, names: dict[str, int]
) -> np.ndarray:
    """Codes into `names` of the events of a table."""
    if source.kind == "range":
        query = (
            "select coalesce(text, value, '') from NVTX_EVENTS left join StringIds on id = textId "
            f"where eventType in ({PUSH_POP}, {START_END})"
        )
        texts = [row[0] for row in database.execute(query)]
        return np.array([names.setdefault(text, len(names)) for text in texts], dtype=np.int32)
    used, place = np.unique(ids, return_inverse=True)
    if source.kind in ("memcpy", "memset"):
        kinds = {}
        if source.kind == "memcpy":
            kinds = dict(database.execute("select id, label from ENUM_CUDA_MEMCPY_OPER"))
        texts = [f"{source.kind} {kinds.get(int(one), '')}".strip() for one in used]
    else:
        strings = dict(database.execute("select id, value from StringIds"))
        texts = [strings.get(int(one), f"string {one}") for one in used]
    codes = [names.setdefault(text, len(names)) for text in texts]
    return np.array(codes, dtype=np.int32)[place]
