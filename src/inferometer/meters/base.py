"""What a meter is: something that can be read now, may be absent here, and may vanish."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

Device = Literal["gpu", "cpu"]


class MeterAbsent(Exception):
    """This machine does not offer the meter; the message says why, for reports."""


class MeterLost(Exception):
    """The meter answered before and will not answer again; the message says why."""


@dataclass(frozen=True)
class Reading:
    """What a meter said at one moment.

    `at_s` is CLOCK_MONOTONIC in seconds, the same for all processes of a machine. A quantity that
    could not be read is `None`, never 0. `reasons` are alerts, or why the reading is empty.
    """

    meter: str
    at_s: float
    values: dict[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        return asdict(self)


@dataclass(frozen=True)
class EnergyChannel:
    """Which quantity of a meter tells energy, and how.

    `energy_j` is a counter that only grows, and starts again at 0 after `wrap_j` where that is
    given; `power_w` is integrated over time. `update_period_s` is how often the quantity is
    renewed, `None` where the samples themselves must tell.
    """

    quantity: Literal["energy_j", "power_w"]
    device: Device
    source: str
    wrap_j: float | None = None
    update_period_s: float | None = None


class Meter(Protocol):
    """Read by one thread; `read` raises `MeterLost` when the meter is gone for good."""

    name: str
    energy: EnergyChannel | None

    def read(self) -> Reading:
        """Take one reading now."""
        ...

    def close(self) -> None:
        """Give back what the meter holds; it is not read again."""
        ...
