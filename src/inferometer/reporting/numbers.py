"""How a finding is written down: digits that the interval supports, units, openness, absence.

The last digit shown is the second significant digit of the interval's half-width, so
0.31246 with [0.28991, 0.33482] is written `0.312 [0.290, 0.335]`. A value without an interval
gets three significant digits; a whole number stays whole.
"""

import math
from decimal import ROUND_HALF_EVEN, Decimal

from inferometer.errors import UserError
from inferometer.findings import Finding, Interval

DIGITS_OF_HALF_WIDTH = 2
DIGITS_WITHOUT_INTERVAL = 3
SMALLEST_PLAIN = 1e-4
LARGEST_PLAIN = 1e7

_TO_BASE = {
    "s": ("time", 1.0),
    "ms": ("time", 1e-3),
    "us": ("time", 1e-6),
    "B": ("size", 1.0),
    "KiB": ("size", 2.0**10),
    "MiB": ("size", 2.0**20),
    "GiB": ("size", 2.0**30),
    "B/s": ("bandwidth", 1.0),
    "GB/s": ("bandwidth", 1e9),
    "flop/s": ("compute", 1.0),
    "Gflop/s": ("compute", 1e9),
    "": ("share", 1.0),
    "%": ("share", 1e-2),
    "J": ("energy", 1.0),
    "mJ": ("energy", 1e-3),
}


def factor(finding: Finding, unit: str) -> float:
    """What a finding's numbers are multiplied by to be in `unit`; `UserError` if they cannot."""
    if unit == finding.unit:
        return 1.0
    source, target = _TO_BASE.get(finding.unit), _TO_BASE.get(unit)
    if source is None or target is None or source[0] != target[0]:
        had = finding.unit or "no unit"
        raise UserError(f"finding {finding.id}: is in {had!r} and cannot be written in {unit!r}")
    return source[1] / target[1]


def readable_unit(finding: Finding) -> str:
    """The unit in which a finding reads well: milliseconds for short times, else its own."""
    short = isinstance(finding.value, int | float) and 0 < abs(finding.value) < 0.1
    return "ms" if finding.unit == "s" and short else finding.unit


def value(finding: Finding, scale: float = 1.0) -> str:
    """The value alone; an undefined one as `not defined (reason)`."""
    if finding.value is None:
        return f"not defined ({finding.reason})"
    if isinstance(finding.value, bool):
        return "yes" if finding.value else "no"
    if isinstance(finding.value, str):
        return finding.value
    return _written(finding.value * scale, _last_place(finding, scale))


def interval(finding: Finding, scale: float = 1.0) -> str:
    """The interval alone: `[0.290, 0.335]`, `[≥ 0.290]` where a side is open, or why none."""
    if finding.interval is None:
        return f"no interval ({finding.no_interval})"
    place = _last_place(finding, scale)
    low, high = (
        None if side is None else _written(side * scale, place)
        for side in (finding.interval.low, finding.interval.high)
    )
    if low is None:
        return "[unbounded]" if high is None else f"[≤ {high}]"
    return f"[≥ {low}]" if high is None else f"[{low}, {high}]"


def significant(number: float, digits: int = DIGITS_WITHOUT_INTERVAL) -> str:
    """A number that has no interval, as a p-value: `0.0314`, `< 0.0001`."""
    if 0 < number < SMALLEST_PLAIN:
        return f"< {SMALLEST_PLAIN:.4f}"
    return _written(number, _place_of(number, digits))


def _last_place(finding: Finding, scale: float) -> int | None:
    """Power of ten of the last digit to show; `None` for a whole number, shown whole."""
    number = finding.value
    if isinstance(number, int) and scale == 1 and _whole(finding.interval):
        return None
    half = _half_width(finding.interval, number) * abs(scale)
    if half > 0:
        return _place_of(half, DIGITS_OF_HALF_WIDTH)
    known = number if isinstance(number, int | float) else 0.0
    return min(_place_of(known * scale, DIGITS_WITHOUT_INTERVAL), 0)


def _whole(bounds: Interval | None) -> bool:
    """Whether no side of the interval has decimals."""
    sides = (bounds.low, bounds.high) if bounds is not None else ()
    return all(side is None or float(side).is_integer() for side in sides)


def _half_width(bounds: Interval | None, number: object) -> float:
    """Half the interval's width, or its one known arm; 0 where there is no width to go by."""
    if bounds is None:
        return 0.0
    if bounds.low is not None and bounds.high is not None:
        return (bounds.high - bounds.low) / 2
    side = bounds.low if bounds.low is not None else bounds.high
    if side is None or isinstance(number, bool) or not isinstance(number, int | float):
        return 0.0
    return abs(number - side)


def _place_of(number: float, digits: int) -> int:
    if number == 0:
        return 0
    return math.floor(math.log10(abs(number))) - (digits - 1)


def _written(number: float, place: int | None) -> str:
    if place is None:
        return str(int(number))
    exact = Decimal(repr(float(number)))
    rounded = exact.quantize(Decimal(1).scaleb(place), rounding=ROUND_HALF_EVEN)
    if rounded == 0:
        rounded = abs(rounded)  # never "-0.00"
    size = abs(rounded)
    if rounded != 0 and (size < SMALLEST_PLAIN or size >= LARGEST_PLAIN):
        mantissa_digits = max(rounded.adjusted() - place, 0)
        return f"{rounded:.{mantissa_digits}e}"
    return f"{rounded:.{max(-place, 0)}f}".replace("-", "−")
