"""From columns that a collector read to the rows of a kernel table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from inferometer.profilers import attribution, classes
from inferometer.profilers.table import KINDS, validate

ABSENT = -1
PROCESS_SHIFT = 32
"""Correlation ids count from 1 in each process; the process goes above their 32 bits."""


@dataclass(frozen=True)
class Events:
    """Columns of equal length; `ABSENT` where a value is not known.

    `kind` and `name` are codes into `KINDS` and the names of the trace. `process`, `context` and
    `lane` say where an event ran: lane is a stream, or a thread with context `ABSENT`.
    """

    kind: np.ndarray
    name: np.ndarray
    start_ns: np.ndarray
    end_ns: np.ndarray
    process: np.ndarray
    context: np.ndarray
    lane: np.ndarray
    device: np.ndarray
    correlation: np.ndarray
    graph_node: np.ndarray
    bytes: np.ndarray


def join(parts: Sequence[Events]) -> Events:
    """Events of several parts, one after the other."""
    return Events(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Events)
        }
    )


def to_rows(events: Events, names: Sequence[str], where: str) -> pd.DataFrame:
    """Rows of the kernel table in the order of their start, with class, phase and request."""
    order = np.argsort(events.start_ns, kind="stable")
    events = Events(**{field.name: getattr(events, field.name)[order] for field in fields(Events)})
    correlation = np.where(
        events.correlation >= 0,
        (events.process.astype(np.int64) << PROCESS_SHIFT) + events.correlation,
        ABSENT,
    )
    stream, streams = _streams(events)
    labels = attribution.attribute(
        np.asarray(events.kind), events.name, names, stream, events.start_ns, events.end_ns,
        correlation,
    )  # fmt: skip
    class_code, class_labels = classes.class_codes(events.kind, KINDS, events.name, names)
    rows = pd.DataFrame(
        {
            "start_ns": events.start_ns,
            "end_ns": events.end_ns,
            "duration_ns": events.end_ns - events.start_ns,
            "kind": pd.Categorical.from_codes(events.kind, _labels(KINDS)),
            "name": pd.Categorical.from_codes(events.name, _labels(names)),
            "class": pd.Categorical.from_codes(class_code, _labels(class_labels)),
            "stream": pd.Categorical.from_codes(stream, _labels(streams)),
            "device": _nullable(events.device),
            "correlation": _nullable(correlation),
            "graph_node": _nullable(events.graph_node),
            "bytes": _nullable(events.bytes),
            "phase": labels.phase,
            "request": labels.request,
        },
        copy=False,
    )
    validate(rows, where)
    return rows


def _labels(texts: Sequence[str]) -> pd.Index[str]:
    return pd.Index(list(texts), dtype="str")


def _nullable(values: np.ndarray) -> pd.arrays.IntegerArray:
    values = values.astype(np.int64, copy=False)
    return pd.arrays.IntegerArray(values, values < 0)


def _streams(events: Events) -> tuple[np.ndarray, list[str]]:
    frame = pd.DataFrame({"p": events.process, "c": events.context, "l": events.lane}, copy=False)
    groups = frame.groupby(["p", "c", "l"], sort=True)
    keys = list(groups.size().index)
    texts = [f"{p}/{lane}" if c == ABSENT else f"{p}/{c}/{lane}" for p, c, lane in keys]
    return groups.ngroup().to_numpy(dtype=np.int32), texts
