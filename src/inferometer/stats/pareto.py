"""Configurations that no other beats on every objective."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inferometer.stats import inputs
from inferometer.stats.inputs import Floats
from inferometer.stats.result import Result


@dataclass(frozen=True, repr=False)
class Frontier(Result):
    """Row positions of the frontier, ascending; equal points are all kept."""

    indices: tuple[int, ...]
    n: int


def frontier(
    points: Any, minimise: Sequence[Hashable] = (), maximise: Sequence[Hashable] = ()
) -> Frontier:
    """Find the points that no other point dominates.

    Parameters
    ----------
    points : a data frame, a mapping of columns, a list of mappings, or a two-dimensional array.
    minimise, maximise : names of the columns (positions for an array), at least one in all.

    Returns
    -------
    Frontier
        A point is dominated when another is at least as good on every objective and better on
        one; positions count rows from 0.

    Raises
    ------
    ValueError
        No objective, one named twice, an unknown column, no rows, a value that is not finite.

    Notes
    -----
    Pareto (1906); found in order of the first objective, as Kung, Luccio and Preparata (1975).
    """
    names = [*minimise, *maximise]
    if not names or len(set(names)) < len(names):
        raise ValueError("minimise, maximise: name at least one objective, each once")
    signs = [1.0] * len(minimise) + [-1.0] * len(maximise)
    columns = [
        sign * inputs.sample(f"points[{name!r}]", _column(points, name))
        for name, sign in zip(names, signs, strict=True)
    ]
    inputs.same_length(**{str(name): column for name, column in zip(names, columns, strict=True)})
    values = np.column_stack(columns)
    kept = _two(values) if values.shape[1] == 2 else _many(values)
    return Frontier(tuple(sorted(int(i) for i in kept)), len(values))


def _column(points: Any, name: Any) -> Any:
    try:
        if isinstance(points, np.ndarray):
            return points[:, name]
        if hasattr(points, "columns") or hasattr(points, "keys"):
            return points[name]
        return [row[name] for row in points]
    except (KeyError, IndexError, TypeError):
        raise ValueError(f"points: has no column {name!r}") from None


def _two(values: Floats) -> list[int]:
    order = np.lexsort((values[:, 1], values[:, 0]))
    second = values[order, 1]
    lowest = np.concatenate([[np.inf], np.minimum.accumulate(second)[:-1]])
    kept = set(order[second < lowest].tolist())
    chosen = {tuple(values[i]) for i in kept}
    return [i for i in order.tolist() if i in kept or tuple(values[i]) in chosen]


def _many(values: Floats) -> list[int]:
    """Take the remaining point with the least sum, drop what it dominates, repeat."""
    spread = np.ptp(values, axis=0)
    order = np.argsort((values / np.where(spread > 0, spread, 1.0)).sum(axis=1), kind="stable")
    kept: list[int] = []
    while order.size:
        first, rest = int(order[0]), order[1:]
        kept.append(first)
        others = values[rest]
        beaten = (others >= values[first]).all(axis=1) & (others > values[first]).any(axis=1)
        order = rest[~beaten]
    return kept
