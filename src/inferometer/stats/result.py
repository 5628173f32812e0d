"""The base of every result of this package: frozen fields, a short repr, plain data on demand."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

Interval = tuple[float, float]


@dataclass(frozen=True, repr=False)
class Result:
    """Frozen result; an undefined field is ``None`` and the result's ``reason`` says why."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain numbers, strings, lists and dictionaries (JSON-ready)."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    def __repr__(self) -> str:
        shown = [f"{f.name}={_short(getattr(self, f.name))}" for f in fields(self) if f.repr]
        line = f"{type(self).__name__}({', '.join(shown)})"
        if len(line) <= 100:
            return line
        return f"{type(self).__name__}(\n  " + ",\n  ".join(shown) + ",\n)"

    def brief(self) -> str:
        """Return the first fields in one line, for a result inside another."""
        shown = [f"{f.name}={_short(getattr(self, f.name))}" for f in fields(self)[:3]]
        return f"{type(self).__name__}({', '.join(shown)}, ...)"


def interval(low: float, high: float) -> Interval:
    """Return the two ends as plain floats."""
    return float(low), float(high)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _short(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    if isinstance(value, Result):
        return value.brief()
    if isinstance(value, tuple):
        inner = ", ".join(_short(item) for item in value[:12])
        more = f", ... {len(value)} in all" if len(value) > 12 else ""
        return f"({inner}{more})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
    return repr(value)
