"""Arithmetic on intervals [start, end): union, concurrency by a sweep, gaps, and self time.

All in whole nanoseconds, in any order, overlapping as they like. An interval of no length
occupies nothing: it adds no time and no concurrency.
"""

import numpy as np


def union(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The disjoint intervals that cover the same time; intervals that touch become one."""
    occupied = end > start
    start, end = start[occupied], end[occupied]
    if not len(start):
        return start, end
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    first = np.concatenate([[True], start[1:] > reach[:-1]])
    return start[first], reach[np.concatenate([first[1:], [True]])]


def busy_ns(start: np.ndarray, end: np.ndarray) -> int:
    """Time in which at least one interval runs."""
    low, high = union(start, end)
    return int((high - low).sum())


def gaps_ns(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Lengths of the idle times between the first start and the last end."""
    low, high = union(start, end)
    return low[1:] - high[:-1]


def idle_ns(spans: tuple[np.ndarray, np.ndarray], start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Lengths of the idle times inside disjoint spans that cover all the intervals."""
    low, high = union(start, end)
    edges = np.concatenate([spans[0], low, spans[1], high])
    steps = np.repeat([1, -1], len(spans[0]) + len(low))
    order = np.argsort(edges, kind="stable")
    depth = np.cumsum(steps[order])[:-1]
    lengths = np.diff(edges[order])
    return lengths[(depth == 1) & (lengths > 0)]


def max_concurrency(start: np.ndarray, end: np.ndarray) -> int:
    """Most intervals that run at one instant; one that ends as another starts is over."""
    occupied = end > start
    if not occupied.any():
        return 0
    edges = np.concatenate([start[occupied], end[occupied]])
    steps = np.repeat([1, -1], occupied.sum())
    order = np.lexsort((steps, edges))  # at one instant ends come before starts
    return int(np.cumsum(steps[order]).max())


def clip(
    start: np.ndarray, end: np.ndarray, window: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The parts of intervals inside a window; those outside keep no length."""
    low, high = window
    return np.clip(start, low, high), np.clip(end, low, high)


def self_ns(start: np.ndarray, end: np.ndarray, lane: np.ndarray) -> np.ndarray:
    """Duration of each interval less that of its direct children in the same lane.

    Intervals of one lane must nest, as the calls of a thread do; the parts of a child outside its
    parent are not taken from the parent.
    """
    order = np.lexsort((-end, start, lane))
    s, e, thread = start[order], end[order], lane[order]
    left = e - s
    depth = _depth(s, e, thread)
    rows = np.arange(len(s))
    for level in range(1, int(depth.max(initial=0)) + 1):
        children = rows[depth == level]
        above = rows[depth == level - 1]
        parent = above[np.searchsorted(above, children) - 1]
        inside = np.minimum(e[children], e[parent]) - s[children]
        np.subtract.at(left, parent, inside.clip(0))
    result = np.empty_like(left)
    result[order] = left.clip(0)
    return result


def _depth(start: np.ndarray, end: np.ndarray, lane: np.ndarray) -> np.ndarray:
    """How many intervals of its lane enclose each; sorted by lane, start and falling end."""
    n = len(start)
    edge = np.concatenate([start, end])
    step = np.repeat([1, -1], n)
    # at one instant what has length ends first, then intervals begin, then those of no length end
    rank = np.concatenate([np.ones(n), np.where(end > start, 0, 2)])
    place = np.lexsort(
        (np.concatenate([np.arange(n), -np.arange(n)]), rank, edge, np.tile(lane, 2))
    )
    level = np.empty(2 * n, dtype=np.int64)
    level[place] = np.cumsum(step[place])
    return level[:n] - 1
