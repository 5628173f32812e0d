"""Which phase and request an event belongs to, from ranges that the measured program opened.

A range named ``phase/decode`` or ``request/7`` covers what its own thread does until it closes.
Device work belongs to the range in which it was *launched*, not to the one open while it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from inferometer.profilers.table import DEVICE_KINDS, KINDS

NOWHERE = -1
RANGE, RUNTIME = KINDS.index("range"), KINDS.index("runtime_call")
DEVICE = [KINDS.index(kind) for kind in DEVICE_KINDS]


@dataclass(frozen=True)
class Labels:
    """Phase and request of each event; null where no range covers it."""

    phase: pd.Categorical
    request: pd.Categorical


def attribute(
    kind: np.ndarray,
    name: np.ndarray,
    names: Sequence[str],
    stream: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    correlation: np.ndarray,
) -> Labels:
    """Phase and request of events; the innermost range wins. All arguments are codes or ns."""
    thread, moment = _origin(kind, stream, start, correlation)
    found = {}
    for prefix in ("phase", "request"):
        texts = np.array([text.startswith(f"{prefix}/") for text in names], dtype=bool)
        ranges = np.flatnonzero((kind == RANGE) & texts[name])
        owner = _innermost(ranges, stream, start, end, thread, moment)
        owner[kind == RANGE] = NOWHERE
        owner[ranges] = ranges
        inside = owner >= 0
        used, codes = np.unique(name[owner[inside]], return_inverse=True)
        column = np.full(len(kind), NOWHERE, dtype=np.int32)
        column[inside] = codes
        categories = pd.Index([names[code].partition("/")[2] for code in used], dtype="str")
        found[prefix] = pd.Categorical.from_codes(column, categories)
    return Labels(**found)


def _origin(
    kind: np.ndarray, stream: np.ndarray, start: np.ndarray, correlation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Thread and moment that count: of the launching call for device rows, else the row's own."""
    thread, moment = stream.copy(), start.copy()
    on_device = np.isin(kind, DEVICE)
    thread[on_device] = NOWHERE
    calls = np.flatnonzero((kind == RUNTIME) & (correlation >= 0))
    calls = calls[np.argsort(correlation[calls], kind="stable")]
    rows = np.flatnonzero(on_device & (correlation >= 0))
    if len(calls) and len(rows):
        known = correlation[calls]
        place = np.minimum(np.searchsorted(known, correlation[rows]), len(calls) - 1)
        hit = known[place] == correlation[rows]
        thread[rows[hit]] = stream[calls[place[hit]]]
        moment[rows[hit]] = start[calls[place[hit]]]
    return thread, moment


def _innermost(
    ranges: np.ndarray,
    stream: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    thread: np.ndarray,
    moment: np.ndarray,
) -> np.ndarray:
    """Index of the innermost range around each moment of its thread, `NOWHERE` where none is."""
    owner = np.full(len(thread), NOWHERE, dtype=np.int64)
    for lane in np.unique(stream[ranges]):
        mine = ranges[stream[ranges] == lane]
        edges = np.unique(np.concatenate([start[mine], end[mine]]))
        painted = np.full(len(edges), NOWHERE, dtype=np.int64)
        mine = mine[np.lexsort((-end[mine], start[mine]))]
        first, last = np.searchsorted(edges, start[mine]), np.searchsorted(edges, end[mine])
        for index, low, high in zip(mine, first, last, strict=True):
            painted[low:high] = index  # inner ranges come later and paint over outer ones
        rows = np.flatnonzero(thread == lane)
        segment = np.searchsorted(edges, moment[rows], side="right") - 1
        owner[rows] = np.where(segment >= 0, painted[segment], NOWHERE)
    return owner
