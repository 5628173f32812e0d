"""The kernel table: one row per event of a trace, whichever profiler saw it.

Times are whole nanoseconds of the collector's own clock; they compare inside one table only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from inferometer.errors import UserError

SCHEMA_VERSION = 1
KINDS = ("kernel", "memcpy", "memset", "runtime_call", "operator", "range", "os_call")
DEVICE_KINDS = ("kernel", "memcpy", "memset")
"""What runs on a device; the other kinds are intervals of a host thread."""

LABEL = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("end_ns", pa.int64(), nullable=False),
        pa.field("duration_ns", pa.int64(), nullable=False),
        pa.field("kind", LABEL, nullable=False),
        pa.field("name", LABEL, nullable=False),
        pa.field("class", LABEL, nullable=False),
        pa.field("stream", LABEL, nullable=False),
        pa.field("device", pa.int64()),
        pa.field("correlation", pa.int64()),
        pa.field("graph_node", pa.int64()),
        pa.field("bytes", pa.int64()),
        pa.field("phase", LABEL),
        pa.field("request", LABEL),
    ]
)
TIMES = ("start_ns", "end_ns", "duration_ns")
NUMBERS = ("device", "correlation", "graph_node", "bytes")
LABELS = ("kind", "name", "class", "stream", "phase", "request")


@dataclass(frozen=True)
class KernelTable:
    """Rows of `SCHEMA` and where they come from.

    `traced` are the kinds that the collector was watching: an untraced kind has no rows either,
    but then 0 is not its count. `stream` is "process/context/stream" on a device and
    "process/thread" on a host; `correlation` joins a device row to the runtime call that launched
    it and is unique over the processes of the table.
    """

    rows: pd.DataFrame
    collector: str
    collector_version: str
    traced: frozenset[str]

    def of(self, *kinds: str) -> pd.DataFrame:
        """The rows of some kinds."""
        return self.rows[self.rows["kind"].isin(kinds)]


def validate(rows: pd.DataFrame, where: str) -> None:
    """Raise `UserError` when rows break the schema; `where` is the file or trace to name."""
    missing = [name for name in SCHEMA.names if name not in rows.columns]
    if missing:
        raise UserError(f"{where}: no column {', '.join(missing)}; collect the trace again")
    for name in (*TIMES, "kind", "name", "class", "stream"):
        if rows[name].isna().any():
            raise UserError(f"{where}: {name} is empty in {int(rows[name].isna().sum())} rows")
    unknown = set(rows["kind"].unique()) - set(KINDS)
    if unknown:
        raise UserError(f"{where}: kind {', '.join(sorted(unknown))}; known: {', '.join(KINDS)}")
    start, end = rows["start_ns"].to_numpy(), rows["end_ns"].to_numpy()
    backwards = int((end < start).sum())
    if backwards:
        raise UserError(f"{where}: {backwards} rows end before they start; the trace is broken")
    if not np.array_equal(end - start, rows["duration_ns"].to_numpy()):
        raise UserError(f"{where}: duration_ns is not end_ns - start_ns in some rows")


def write(table: KernelTable, path: Path) -> None:
    """Write a table as parquet, with its collector in the file's metadata."""
    validate(table.rows, str(path))
    about = {
        "schema_version": SCHEMA_VERSION,
        "collector": table.collector,
        "collector_version": table.collector_version,
        "traced": sorted(table.traced),
    }
    arrow = pa.Table.from_pandas(table.rows, schema=SCHEMA, preserve_index=False)
    metadata = {b"inferometer": json.dumps(about).encode()}
    pq.write_table(arrow.replace_schema_metadata(metadata), path, compression="zstd")


def read(path: Path) -> KernelTable:
    """Read what `write` wrote.

    Raises `UserError` for a file that cannot be read, is no kernel table, has another schema
    version or breaks the schema.
    """
    try:
        arrow = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as parquet ({error})") from error
    text = (arrow.schema.metadata or {}).get(b"inferometer")
    if text is None:
        raise UserError(f"{path}: no kernel table; write it with inferometer.profilers.table")
    about = json.loads(text)
    if about["schema_version"] != SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema version {about['schema_version']}, this library reads "
            f"{SCHEMA_VERSION}; derive the table from its trace again"
        )
    rows = arrow.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    validate(rows, str(path))
    rows[list(TIMES)] = rows[list(TIMES)].astype(np.int64)
    return KernelTable(
        rows, about["collector"], about["collector_version"], frozenset(about["traced"])
    )


def concat(tables: Iterable[KernelTable]) -> KernelTable:
    """One table of several processes that were traced into a file each, at the same time.

    Raises `UserError` when they come from different collectors: their clocks do not compare.
    `traced` is what all of them traced.
    """
    parts = list(tables)
    origins = {(part.collector, part.collector_version) for part in parts}
    if len(origins) != 1:
        found = ", ".join(" ".join(origin) for origin in sorted(origins)) or "no table"
        raise UserError(f"kernel tables of one collector are needed, got {found}")
    rows = pd.concat([part.rows.astype(dict.fromkeys(LABELS, "str")) for part in parts])
    rows = rows.astype(dict.fromkeys(LABELS, "category")).reset_index(drop=True)
    collector, version = origins.pop()
    traced = frozenset.intersection(*(part.traced for part in parts))
    return KernelTable(rows, collector, version, traced)
