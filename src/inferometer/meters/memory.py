"""Memory: what a process holds, what is free, and how much it may have at most. Bytes."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from inferometer.meters.base import EnergyChannel, MeterAbsent, MeterLost, Reading

UNLIMITED = 2**60
"""The first control groups write "no limit" as a number near 2^63."""


class ProcessMeter:
    """Resident memory of one process, its peak so far, and the RAM that is still available.

    The kernel's own count: VmRSS and VmHWM of /proc/PID/status. Raises `MeterAbsent` when there is
    no such process; `read` raises `MeterLost` once it has ended.
    """

    energy: EnergyChannel | None = None

    def __init__(self, pid: int) -> None:
        self.name = f"memory:{pid}"
        try:
            self._process = psutil.Process(pid)
            self.read()
        except (psutil.Error, MeterLost) as error:
            raise MeterAbsent(f"no process {pid} whose memory could be read") from error

    def read(self) -> Reading:
        """`resident_bytes`, `peak_resident_bytes`, `available_bytes`."""
        pid = self._process.pid
        before = time.monotonic()
        try:
            status = dict(
                line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            )
        except OSError as error:
            raise MeterLost(f"process {pid} has ended") from error
        at = (before + time.monotonic()) / 2
        # a number can be given to a new process; one that has ended, but not yet been waited for,
        # has no memory
        if "VmRSS" not in status or not self._process.is_running():
            raise MeterLost(f"process {pid} has ended")
        values = {
            "resident_bytes": _kib(status["VmRSS"]),
            "peak_resident_bytes": _kib(status["VmHWM"]),
            "available_bytes": psutil.virtual_memory().available,
        }
        return Reading(self.name, at, values)

    def close(self) -> None:
        """Nothing is held."""


def usage(processes: Iterable[psutil.Process]) -> dict[str, int]:
    """Memory of several processes together; those that have ended count with nothing.

    `resident_bytes` now, `peak_resident_bytes` (the sum of each one's own peak since it began), and
    `major_faults` since it began: pages that had to be read from the disk.
    """
    found = {"resident_bytes": 0, "peak_resident_bytes": 0, "major_faults": 0}
    for process in processes:
        try:
            taken = ProcessMeter(process.pid).read().values
            stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        except (MeterAbsent, MeterLost, OSError):
            continue
        found["resident_bytes"] += taken["resident_bytes"]
        found["peak_resident_bytes"] += taken["peak_resident_bytes"]
        found["major_faults"] += int(stat[9])
    return found


@dataclass(frozen=True)
class Capacity:
    """How much memory a process may have at most; a limit that is not set is `None`."""

    ram_bytes: int
    cgroup_bytes: int | None
    rlimit_bytes: int | None

    @property
    def effective_bytes(self) -> int:
        """The smallest of RAM, control group limit and resource limit."""
        return min(self.ram_bytes, self.cgroup_bytes or UNLIMITED, self.rlimit_bytes or UNLIMITED)

    @property
    def limited_by(self) -> Literal["ram", "cgroup", "rlimit"]:
        """Which of the three is the smallest."""
        if self.effective_bytes == self.ram_bytes:
            return "ram"
        return "cgroup" if self.effective_bytes == self.cgroup_bytes else "rlimit"


def capacity(pid: int | None = None) -> Capacity:
    """RAM and limits of a process, by default this one.

    Raises `MeterAbsent` when there is no such process or its limits may not be read.
    """
    try:
        process = psutil.Process(pid)
        soft = [process.rlimit(kind)[0] for kind in (psutil.RLIMIT_AS, psutil.RLIMIT_DATA)]
    except psutil.Error as error:
        raise MeterAbsent(f"the limits of process {pid} cannot be read ({error})") from error
    limits = [limit for limit in soft if limit != psutil.RLIM_INFINITY and limit < UNLIMITED]
    return Capacity(
        ram_bytes=psutil.virtual_memory().total,
        cgroup_bytes=cgroup_limit(Path(f"/proc/{process.pid}/cgroup")),
        rlimit_bytes=min(limits, default=None),
    )


def cgroup_limit(
    membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """The smallest memory limit of a process's control group and all above it, of v1 and v2.

    Parameters
    ----------
    membership
        /proc/PID/cgroup of the process.
    root
        Where the control groups are mounted.

    `None` when no limit is set, or when none can be read.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    limits: list[int] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base = root if (root / "cgroup.controllers").exists() else root / "unified"
            limits += _limits(base, path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(root / "memory", path, "memory.limit_in_bytes")
    return min(limits, default=None)


def _limits(base: Path, path: str, file: str) -> Iterator[int]:
    """Limits from the group up to the root; in a container the group's own path may not exist."""
    group = base / path.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(base):
            return
        try:
            limit = int((folder / file).read_text())
        except (OSError, ValueError):  # not there, or "max"
            continue
        if limit < UNLIMITED:
            yield limit


def _kib(text: str) -> int:
    return int(text.split()[0]) * 1024
