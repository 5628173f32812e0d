"""RAPL energy counters of the processor packages and their DRAM, from the kernel's powercap tree.

Intel and AMD processors both appear as `intel-rapl`. The zones `core` and `uncore` are parts of a
package and `psys` holds the packages, so that adding any of them would count energy twice; so
would `intel-rapl-mmio`, a second door to the same counter.
"""

import re
import time
from pathlib import Path

from inferometer.meters.base import EnergyChannel, MeterAbsent, MeterLost, Reading

POWERCAP = Path("/sys/class/powercap")


class RaplMeter:
    """The counter of one zone; raises `MeterAbsent` when it cannot be read."""

    def __init__(self, zone: Path) -> None:
        number = zone.name.split(":")[1]
        kind = (zone / "name").read_text().strip()
        self.name = f"rapl:{kind}" if kind.startswith("package") else f"rapl:{kind}-{number}"
        self._counter = zone / "energy_uj"
        try:
            self.read()
        except MeterLost as error:
            raise MeterAbsent(str(error)) from error
        self.energy: EnergyChannel | None = EnergyChannel(
            "energy_j", "cpu", f"{self.name} energy counter", wrap_j=_wrap_j(zone)
        )

    def read(self) -> Reading:
        """`energy_j`: the counter in joules; it starts again at 0 after the channel's `wrap_j`."""
        before = time.monotonic()
        try:
            microjoules = int(self._counter.read_text())
        except PermissionError as error:
            raise MeterLost(
                "the RAPL counters may be read by the administrator only "
                f"(`sudo chmod a+r {POWERCAP}/intel-rapl:*/energy_uj` lets everyone)"
            ) from error
        except (OSError, ValueError) as error:
            raise MeterLost(f"{self._counter} cannot be read ({error})") from error
        at = (before + time.monotonic()) / 2
        return Reading(self.name, at, {"energy_j": microjoules / 1e6})

    def close(self) -> None:
        """Nothing is held."""


def find(powercap: Path = POWERCAP) -> tuple[list[RaplMeter], list[str]]:
    """The readable package and DRAM zones, and for each other one the reason in words."""
    zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _counts(zone)]
    if not zones:
        return [], [f"no RAPL counters under {powercap}"]
    meters, reasons = [], []
    for zone in zones:
        try:
            meters.append(RaplMeter(zone))
        except MeterAbsent as error:
            reasons.append(str(error))
    return meters, list(dict.fromkeys(reasons))


def _counts(zone: Path) -> bool:
    try:
        return bool(
            re.fullmatch(r"package-\d+(-die-\d+)?|dram", (zone / "name").read_text().strip())
        )
    except OSError:
        return False


def _wrap_j(zone: Path) -> float | None:
    try:
        return int((zone / "max_energy_range_uj").read_text()) / 1e6
    except (OSError, ValueError):
        return None
