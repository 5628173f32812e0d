"""Energy of a time window, from samples of power or of an energy counter; pure functions.

A window has an energy or reasons why it has none. Nothing is estimated: a missing meter, a gap, or
an edge that no sample reaches gives `None`, never 0 and never a power rating.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

REASONS = {
    "no_meter": "energy is not measurable here",
    "too_few_samples": "fewer than 3 samples inside the window",
    "gap_too_large": "the samples leave a gap that is too large",
    "window_too_short": "the window is shorter than 5 update periods of the meter",
    "counter_went_back": "the energy counter was reset",
    "meter_lost": "the meter vanished before the window ended",
    "edges_not_covered": "no sample at or before the start, or at or after the end",
    "idle_not_measured": "the idle power is not known",
    "idle_source_differs": "idle was measured by another source",
}
"""Reason codes, in words for reports."""
MIN_SAMPLES = 3
MIN_UPDATES = 5
"""An edge is uncertain by up to one update period: over 5 periods, a few per cent of the energy."""
MAX_GAP_S = 0.5

Series = NDArray[np.float64]


@dataclass(frozen=True)
class EnergyWindow:
    """The energy of `[start_s, end_s]` on CLOCK_MONOTONIC, or why it is not known.

    `energy_j` (joules) and `mean_power_w` (watts, energy over duration) are `None` exactly when
    there are `reasons` (keys of `REASONS`). `samples` counts those inside the window; of a counter,
    only those that brought a new value. `largest_gap_s` is taken over the samples that the energy
    rests on, the ones around the edges among them; `None` with fewer than two.
    """

    start_s: float
    end_s: float
    energy_j: float | None
    mean_power_w: float | None
    source: str | None
    samples: int
    largest_gap_s: float | None
    reasons: tuple[str, ...]

    def to_record(self) -> dict[str, Any]:
        """The fields that a `window` record of a raw file holds."""
        return {
            "energy_j": self.energy_j,
            "energy_source": self.source,
            "energy_reasons": list(self.reasons),
            "mean_power_w": self.mean_power_w,
            "samples": self.samples,
            "largest_gap_s": self.largest_gap_s,
        }


@dataclass(frozen=True)
class AboveIdle:
    """Energy of a window beside what idling as long would have taken; joules and watts.

    `above_idle_j` can be negative when the difference is within the noise; it is `None` exactly
    when there are `reasons`.
    """

    energy_j: float | None
    idle_power_w: float | None
    idle_energy_j: float | None
    above_idle_j: float | None
    reasons: tuple[str, ...]


def from_power(
    times_s: ArrayLike,
    power_w: ArrayLike,
    start_s: float,
    end_s: float,
    *,
    source: str,
    update_period_s: float | None = None,
    max_gap_s: float = MAX_GAP_S,
) -> EnergyWindow:
    """Integrate power samples by the trapezoid rule, with both edges interpolated linearly.

    Parameters
    ----------
    times_s, power_w
        Samples in seconds and watts, times not decreasing; a missing power is NaN.
    update_period_s
        How often the meter renews its value; by default the median distance of the samples.
    max_gap_s
        Between neighbouring samples that the energy rests on.

    Raises `ValueError` for times that go back or lengths that differ.
    """
    times, power = _series(times_s, power_w)
    period = update_period_s or _median_step(times)
    reasons, samples, gap = _checked(times, start_s, end_s, period, max_gap_s)
    if reasons:
        return _unknown(start_s, end_s, source, samples, gap, reasons)
    inside = (times > start_s) & (times < end_s)
    at = np.concatenate([[start_s], times[inside], [end_s]])
    energy = float(np.trapezoid(np.interp(at, times, power), at))
    return _known(start_s, end_s, energy, source, samples, gap)


def from_counter(
    times_s: ArrayLike,
    counter_j: ArrayLike,
    start_s: float,
    end_s: float,
    *,
    source: str,
    wrap_j: float | None = None,
    update_period_s: float | None = None,
    max_gap_s: float = MAX_GAP_S,
) -> EnergyWindow:
    """Difference of an energy counter between the edges, interpolated linearly.

    Samples that repeat the value before them are left out: the counter had not been renewed. A
    counter that stands still therefore has too few samples, and no energy of 0.

    Parameters
    ----------
    times_s, counter_j
        Samples in seconds and joules, times not decreasing; a missing value is NaN.
    wrap_j
        The counter starts again at 0 after this value. A fall by more than half of it is a
        wrap-around; a smaller one, or any without `wrap_j`, is a counter that went back.

    The other parameters and errors are those of `from_power`.
    """
    times, counter = _renewed(*_series(times_s, counter_j))
    period = update_period_s or _median_step(times)
    reasons, samples, gap = _checked(times, start_s, end_s, period, max_gap_s)
    first, last = _bracket(times, start_s, end_s)
    times, counter = times[first:last], counter[first:last]
    steps = np.diff(counter)
    if wrap_j:
        steps = np.where(steps < -wrap_j / 2, steps + wrap_j, steps)
    if np.any(steps < 0):
        reasons.append("counter_went_back")
    if reasons:
        return _unknown(start_s, end_s, source, samples, gap, reasons)
    # from 0, so that a counter of many megajoules loses no digits
    grown = np.concatenate([[0.0], np.cumsum(steps)])
    before, after = np.interp([start_s, end_s], times, grown)
    return _known(start_s, end_s, float(after - before), source, samples, gap)


def no_meter(start_s: float, end_s: float) -> EnergyWindow:
    """The window of a machine without a meter for the device in question."""
    return _unknown(start_s, end_s, None, 0, None, ["no_meter"])


def total(parts: Sequence[EnergyWindow]) -> EnergyWindow:
    """The sum of meters that count different devices over one window; unknown if one part is.

    Raises `ValueError` when there are no parts, or when they span different windows.
    """
    spans = {(part.start_s, part.end_s) for part in parts}
    if len(spans) != 1:
        raise ValueError(f"parts of one window are needed, got the windows {sorted(spans)}")
    start_s, end_s = spans.pop()
    source = " + ".join(part.source for part in parts if part.source) or None
    samples = min(part.samples for part in parts)
    gaps = [part.largest_gap_s for part in parts if part.largest_gap_s is not None]
    gap = max(gaps, default=None)
    reasons = list(dict.fromkeys(reason for part in parts for reason in part.reasons))
    if reasons:
        return _unknown(start_s, end_s, source, samples, gap, reasons)
    energy = sum(part.energy_j for part in parts if part.energy_j is not None)
    return _known(start_s, end_s, energy, source, samples, gap)


def above_idle(window: EnergyWindow, idle: EnergyWindow) -> AboveIdle:
    """Energy of `window` beyond the idle power measured in the window `idle`, and both parts."""
    reasons = list(window.reasons)
    if idle.mean_power_w is None:
        reasons.append("idle_not_measured")
    elif window.source is not None and window.source != idle.source:
        reasons.append("idle_source_differs")
    duration = window.end_s - window.start_s
    idle_energy = None if idle.mean_power_w is None else idle.mean_power_w * duration
    above = None
    if not reasons and window.energy_j is not None and idle_energy is not None:
        above = window.energy_j - idle_energy
    return AboveIdle(window.energy_j, idle.mean_power_w, idle_energy, above, tuple(reasons))


def update_period_s(times_s: ArrayLike, values: ArrayLike) -> float | None:
    """Median time between samples that brought a new value; `None` with fewer than two."""
    return _median_step(_renewed(*_series(times_s, values))[0])


def _series(times_s: ArrayLike, values: ArrayLike) -> tuple[Series, Series]:
    times, series = np.asarray(times_s, dtype=float), np.asarray(values, dtype=float)
    if times.shape != series.shape or times.ndim != 1:
        raise ValueError(f"times have shape {times.shape}, values {series.shape}")
    if not np.all(np.isfinite(times)) or np.any(np.diff(times) < 0):
        raise ValueError("the times of the samples must be finite and must not go back")
    there = np.isfinite(series)
    return times[there], series[there]


def _renewed(times: Series, values: Series) -> tuple[Series, Series]:
    new = np.concatenate([[True], np.diff(values) != 0])[: times.size]
    return times[new], values[new]


def _median_step(times: Series) -> float | None:
    return float(np.median(np.diff(times))) if times.size > 1 else None


def _bracket(times: Series, start_s: float, end_s: float) -> tuple[int, int]:
    """The slice from the last sample at or before the start to the first at or after the end."""
    first = max(int(np.searchsorted(times, start_s, side="right")) - 1, 0)
    last = min(int(np.searchsorted(times, end_s, side="left")) + 1, times.size)
    return first, max(first, last)


def _checked(
    times: Series, start_s: float, end_s: float, period_s: float | None, max_gap_s: float
) -> tuple[list[str], int, float | None]:
    """Reasons against the window, samples inside it, largest gap of the samples it rests on."""
    reasons = []
    if end_s <= start_s or (period_s is not None and end_s - start_s < MIN_UPDATES * period_s):
        reasons.append("window_too_short")
    samples = int(np.count_nonzero((times >= start_s) & (times <= end_s)))
    if samples < MIN_SAMPLES:
        reasons.append("too_few_samples")
    if not times.size or times[0] > start_s or times[-1] < end_s:
        reasons.append("edges_not_covered")
    first, last = _bracket(times, start_s, end_s)
    gap = float(np.diff(times[first:last]).max()) if last - first > 1 else None
    if gap is not None and gap > max_gap_s:
        reasons.append("gap_too_large")
    return reasons, samples, gap


def _known(
    start_s: float, end_s: float, energy: float, source: str | None, samples: int, gap: float | None
) -> EnergyWindow:
    power = energy / (end_s - start_s)
    return EnergyWindow(start_s, end_s, energy, power, source, samples, gap, ())


def _unknown(
    start_s: float,
    end_s: float,
    source: str | None,
    samples: int,
    gap: float | None,
    reasons: Sequence[str],
) -> EnergyWindow:
    return EnergyWindow(start_s, end_s, None, None, source, samples, gap, tuple(reasons))
