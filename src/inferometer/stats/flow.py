"""The flow through an open system: what came, what left, what was inside, and Little's law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from inferometer.stats import inputs
from inferometer.stats.inputs import Floats
from inferometer.stats.result import Result


@dataclass(frozen=True, repr=False)
class Flow(Result):
    """One run between two instants; rates in 1/s, times in seconds.

    `inside` is the mean number in the system, by integration; `backlog_slope` its growth per
    second, by least squares over time; `sojourn_s` the mean time in the system of those that came.
    `little` is ``inside / (offered * sojourn)``: 1 in a steady state, and off by what is inside at
    the two instants otherwise. `sojourn_s` and `little` are None while one that came is still
    inside for ever (`unfinished`), or when none came.
    """

    offered: float
    achieved: float
    inside: float
    backlog_slope: float
    sojourn_s: float | None
    little: float | None
    arrivals: int
    unfinished: int
    reason: str | None = None


def flow(arrival_s: ArrayLike, departure_s: ArrayLike, start_s: float, end_s: float) -> Flow:
    """Describe the flow between two instants.

    Parameters
    ----------
    arrival_s, departure_s : when each request came and left, in seconds; infinity where it never
        left. Those that came before `start_s` count as long as they are inside.
    start_s, end_s : the instants, `start_s` before `end_s`.

    Returns
    -------
    Flow
        `offered` counts arrivals and `achieved` departures in the interval.

    Raises
    ------
    ValueError
        A departure before its arrival; different lengths; an empty interval.

    Notes
    -----
    Little (1961), Oper. Res. 9, 383-387.
    """
    came = inputs.sample("arrival_s", arrival_s)
    left = np.asarray(departure_s, dtype=float)
    inputs.same_length(arrival_s=came, departure_s=left)
    if np.isnan(left).any() or (left < came).any():
        raise ValueError("departure_s: no request leaves before it came; infinity is never")
    start, end = inputs.number("start_s", start_s), inputs.number("end_s", end_s)
    if end <= start:
        raise ValueError(f"end_s: must be after start_s, got {start:g} to {end:g}")
    span = end - start
    own = (came >= start) & (came < end)
    count, unfinished = int(own.sum()), int(np.isinf(left[own]).sum())
    held = np.clip(left, start, end) - np.clip(came, start, end)
    inside = float(held.sum() / span)
    reason = f"{unfinished} of {count} never left" if unfinished else None
    reason = reason if count else "nothing came"
    sojourn = None if reason else float((left[own] - came[own]).mean())
    return Flow(
        offered=count / span,
        achieved=int(((left >= start) & (left < end)).sum()) / span,
        inside=inside,
        backlog_slope=_slope(came, left, start, end),
        sojourn_s=sojourn,
        little=None if not sojourn else inside / (count / span * sojourn),
        arrivals=count,
        unfinished=unfinished,
        reason=reason,
    )


def _slope(came: Floats, left: Floats, start: float, end: float) -> float:
    """Least-squares slope of the number inside as a function of continuous time.

    With u the time from the middle of the interval of length T the slope is 12/T^3 times the
    integral of u N(u); each request adds the integral of u over its stay.
    """
    middle = (start + end) / 2
    first, last = (np.clip(at, start, end) - middle for at in (came, left))
    return float(((last**2 - first**2) / 2).sum() * 12 / (end - start) ** 3)
