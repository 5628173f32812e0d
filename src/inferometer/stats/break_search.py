"""Sums of squares of all breaks at once, and the optimal partition into levels."""

from __future__ import annotations

import numpy as np

from inferometer.stats.inputs import Floats


def break_statistics(rows: Floats, x: Floats | None, fewest: int) -> Floats:
    """Return F for a break after each of ``fewest .. n - fewest`` values, for each row.

    F is ``(RSS_1 - RSS_2)/(RSS_2/(n - q))`` with q = 2 (means) or 4 (lines).
    """
    n = rows.shape[1]
    whole, split = _sums(rows, x)
    after = split[:, fewest - 1 : n - fewest]
    floor = 1e-14 * whole[:, None]
    after = np.where(after > floor, after, 0.0)
    df = n - (2 if x is None else 4)
    with np.errstate(divide="ignore"):
        ratio: Floats = (whole[:, None] - after) / after * df
    return ratio


def residual_correlation(rows: Floats, x: Floats | None, after: np.ndarray) -> Floats:
    """Return the lag-1 correlation of each row's residuals around its own break."""
    n = rows.shape[1]
    early = np.arange(n)[None, :] < after[:, None]
    residuals = np.zeros_like(rows)
    for side in (early, ~early):
        residuals += np.where(side, rows - _side_fit(rows, x, side), 0.0)
    squares = (residuals**2).sum(axis=1)
    products = (residuals[:, 1:] * residuals[:, :-1]).sum(axis=1)
    correlation: Floats = np.divide(
        products, squares, out=np.zeros_like(squares), where=squares > 0
    )
    return correlation


def two_lines(y: Floats, x: Floats | None) -> tuple[float, float, float]:
    """Return intercept, slope and sum of squares of one side (slope 0 without x)."""
    mean = float(y.mean())
    if x is None:
        return mean, 0.0, float(((y - mean) ** 2).sum())
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (y - mean)) / spread if spread > 0 else 0.0
    residual = y - mean - slope * centred
    return mean - slope * float(x.mean()), slope, float(residual @ residual)


def best_partition(values: Floats, fewest: int, cost: float) -> list[int]:
    """Return the first index of each segment of the least penalised sum of squares."""
    n = values.size
    centred = values - values.mean()
    sums = np.concatenate([[0.0], np.cumsum(centred)])
    squares = np.concatenate([[0.0], np.cumsum(centred**2)])
    best = np.full(n + 1, np.inf)
    best[0] = -cost
    origin = np.zeros(n + 1, dtype=int)
    for end in range(fewest, n + 1):
        begin = np.arange(0, end - fewest + 1)
        lengths = end - begin
        spread = squares[end] - squares[begin] - (sums[end] - sums[begin]) ** 2 / lengths
        total = best[begin] + np.maximum(spread, 0.0) + cost
        origin[end] = int(np.argmin(total))
        best[end] = total[origin[end]]
    starts, end = [], n
    while end > 0:
        end = int(origin[end])
        starts.append(end)
    return starts[::-1]


def _sums(rows: Floats, x: Floats | None) -> tuple[Floats, Floats]:
    """Return the sum of squares without a break, and with one after 1 .. n-1 values."""
    n = rows.shape[1]
    centred = rows - rows.mean(axis=1, keepdims=True)
    k = np.arange(1, n, dtype=float)
    if x is None:
        total = (centred**2).sum(axis=1)
        gain = np.cumsum(centred, axis=1)[:, :-1] ** 2 * (1 / k + 1 / (n - k))
        return total, total[:, None] - gain
    scale = float(np.ptp(x)) or 1.0
    u = (x - x.mean()) / scale
    slope = centred @ u / float(u @ u)
    flat = centred - slope[:, None] * u
    total = (flat**2).sum(axis=1)
    forward = _running_rss(flat, u)[:, :-1]
    backward = _running_rss(flat[:, ::-1], u[::-1])[:, ::-1][:, 1:]
    return total, forward + backward


def _running_rss(rows: Floats, u: Floats) -> Floats:
    """Return the sum of squares about the line through the first k values, k = 1 .. n."""
    k = np.arange(1, u.size + 1, dtype=float)
    mean_u, mean_y = np.cumsum(u) / k, np.cumsum(rows, axis=1) / k
    uu = np.cumsum(u * u) - k * mean_u**2
    uy = np.cumsum(rows * u, axis=1) - k * mean_u * mean_y
    yy = np.cumsum(rows**2, axis=1) - k * mean_y**2
    explained = np.divide(uy**2, uu, out=np.zeros_like(uy), where=uu > 1e-12)
    rss: Floats = np.maximum(yy - explained, 0.0)
    return rss


def _side_fit(rows: Floats, x: Floats | None, side: np.ndarray) -> Floats:
    counts = side.sum(axis=1, keepdims=True)
    mean = (rows * side).sum(axis=1, keepdims=True) / counts
    if x is None:
        return mean
    mean_x = (x * side).sum(axis=1, keepdims=True) / counts
    centred = (x - mean_x) * side
    spread = (centred**2).sum(axis=1, keepdims=True)
    cross = (centred * (rows - mean)).sum(axis=1, keepdims=True)
    slope = np.divide(cross, spread, out=np.zeros_like(cross), where=spread > 0)
    return mean + slope * centred
