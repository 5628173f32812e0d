"""Check the arguments of the statistics calls; every refusal names the argument and the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MIN_BLOCKS = 3
"""Fewest blocks that get an interval; with fewer the spread between blocks is a guess."""


def sample(name: str, values: ArrayLike, at_least: int = 1) -> Floats:
    """Return `values` as a finite one-dimensional float array of at least `at_least` values."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: must be a one-dimensional list of numbers ({error})") from None
    if array.ndim != 1:
        raise ValueError(f"{name}: must be one-dimensional, got shape {array.shape}")
    if array.size < at_least:
        raise ValueError(f"{name}: needs at least {at_least} value(s), got {array.size}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: every value must be finite; remove or explain missing ones")
    return array


def positive_sample(name: str, values: ArrayLike, at_least: int = 1) -> Floats:
    """Return a checked sample whose values are all above zero."""
    array = sample(name, values, at_least)
    if (array <= 0).any():
        raise ValueError(f"{name}: every value must be above 0")
    return array


def same_length(**arrays: Any) -> None:
    """Refuse arrays of different lengths."""
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ValueError(f"{', '.join(sizes)}: must have equal lengths ({listed})")


def groups(name: str, values: Sequence[ArrayLike] | Mapping[Any, ArrayLike]) -> list[Floats]:
    """Return at least two checked samples from a sequence or a mapping of samples."""
    items = values.items() if isinstance(values, Mapping) else enumerate(values)
    checked = [sample(f"{name}[{key!r}]", group) for key, group in items]
    if len(checked) < 2:
        raise ValueError(f"{name}: needs at least 2 groups, got {len(checked)}")
    return checked


def number(name: str, value: float, above: float | None = None) -> float:
    """Return a finite number, refused unless larger than `above` (when given)."""
    try:
        checked = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: must be a number, got {value!r}") from None
    if not np.isfinite(checked):
        raise ValueError(f"{name}: must be finite, got {checked}")
    if above is not None and checked <= above:
        raise ValueError(f"{name}: must be above {above:g}, got {checked:g}")
    return checked


def fraction(name: str, value: float) -> float:
    """Return a number strictly between 0 and 1."""
    checked = number(name, value)
    if not 0 < checked < 1:
        raise ValueError(f"{name}: must lie strictly between 0 and 1, got {checked:g}")
    return checked


def whole(name: str, value: float, at_least: int) -> int:
    """Return a whole number of at least `at_least`."""
    checked = number(name, value)
    if checked != int(checked) or checked < at_least:
        raise ValueError(f"{name}: must be a whole number of at least {at_least}, got {value!r}")
    return int(checked)


def successes(k_name: str, k: float, n_name: str, n: float) -> tuple[int, int]:
    """Return a count of successes and its number of trials, 0 <= k <= n, n >= 1."""
    trials = whole(n_name, n, 1)
    count = whole(k_name, k, 0)
    if count > trials:
        raise ValueError(f"{k_name}: must not exceed {n_name} ({count} > {trials})")
    return count, trials


def paired_table(name: str, table: ArrayLike) -> NDArray[np.int64]:
    """Return a 2 x 2 table of whole, non-negative counts with a positive total."""
    array = np.asarray(table, dtype=np.float64)
    if array.shape != (2, 2):
        raise ValueError(f"{name}: must be a 2 x 2 table of counts, got shape {array.shape}")
    if not np.isfinite(array).all() or (array < 0).any() or (array != np.round(array)).any():
        raise ValueError(f"{name}: every cell must be a whole number of at least 0")
    if array.sum() == 0:
        raise ValueError(f"{name}: must count at least one item")
    return array.astype(np.int64)


def choice(name: str, value: str, allowed: Sequence[str]) -> str:
    """Return `value` if it is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name}: must be one of {', '.join(allowed)}; got {value!r}")
    return value


def generator(name: str, seed: int) -> np.random.Generator:
    """Return a random generator for a whole, non-negative seed."""
    return np.random.default_rng(whole(name, seed, 0))


def constant(values: Floats) -> bool:
    """Say whether all values are equal up to the rounding of their own size."""
    spread = float(values.max() - values.min())
    return spread <= 8 * float(np.finfo(float).eps) * float(np.abs(values).max())
