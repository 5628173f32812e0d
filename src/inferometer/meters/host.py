"""Host noise: how quiet the machine is before, during and after a block.

Three signs that somebody else is using the processor: the hypervisor's steal time, CPU time
that belongs to no process of ours, and the spread of a fixed amount of spinning.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from inferometer.design import NoiseRule

SPIN_LOOPS = 12_000
PROBE_S = 0.6
"""The kernel counts CPU time in hundredths of a second: over this long, on two cores, one tick of
somebody else is less than 1 %."""


@dataclass(frozen=True)
class Probe:
    """A probe of the idle host over `PROBE_S`.

    `spin_jitter` is the 95th percentile of a fixed spin over its median, less 1.
    Fractions are of the whole machine's CPU time; `steal_fraction` is `None` where the
    kernel does not report steal.
    """

    spin_median_s: float
    spin_jitter: float
    steal_fraction: float | None
    foreign_cpu_fraction: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)


@dataclass(frozen=True)
class CpuClock:
    """CPU seconds so far: of the machine, stolen, and of a set of our processes."""

    capacity_s: float
    busy_s: float
    steal_s: float | None
    own_s: float


def read_clock(own: list[psutil.Process]) -> CpuClock:
    """Read the counters; processes that have ended count with nothing."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    steal = getattr(times, "steal", None)
    # guest time is already inside user time on Linux
    busy = times.user + times.nice + times.system
    busy += getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0)
    return CpuClock(busy + idle + (steal or 0.0), busy, steal, sum(_cpu_s(p) for p in own))


def spent(before: CpuClock, after: CpuClock) -> tuple[float | None, float]:
    """(steal fraction, foreign CPU fraction) between two readings of the same processes."""
    capacity = max(after.capacity_s - before.capacity_s, 1e-9)
    steal = None
    if before.steal_s is not None and after.steal_s is not None:
        steal = (after.steal_s - before.steal_s) / capacity
    foreign = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return steal, max(foreign, 0.0) / capacity


class BlockClock:
    """CPU time of others during a block, in segments: the SUT's processes may change between.

    `mark` ends a segment and begins the next. `drop` forgets the one under way: when a process
    has ended inside it, how much of the time was ours is not known.
    """

    def __init__(self, processes: Callable[[], list[psutil.Process]]) -> None:
        self._processes = processes
        self._capacity_s = self._foreign_s = 0.0
        self._steal_s: float | None = 0.0
        self.drop()

    def drop(self) -> None:
        """Begin a segment here, whatever was before."""
        self._own = self._ours()
        self._before = read_clock(self._own)

    def mark(self) -> None:
        """Count the segment that ends here."""
        # a process that began inside the segment has used all its time in it
        after = read_clock(list({*self._own, *self._ours()}))
        capacity = max(after.capacity_s - self._before.capacity_s, 1e-9)
        steal, foreign = spent(self._before, after)
        self._capacity_s += capacity
        self._foreign_s += foreign * capacity
        if steal is None or self._steal_s is None:
            self._steal_s = None
        else:
            self._steal_s += steal * capacity
        self.drop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave out what happens inside: work of ours in processes of its own, not timed."""
        self.mark()
        try:
            yield
        finally:
            self.drop()

    def spent(self) -> tuple[float | None, float]:
        """(steal fraction, foreign CPU fraction) of all segments; (None, 0) without any."""
        if not self._capacity_s:
            return None, 0.0
        steal = None if self._steal_s is None else self._steal_s / self._capacity_s
        return steal, self._foreign_s / self._capacity_s

    def _ours(self) -> list[psutil.Process]:
        return [psutil.Process(), *self._processes()]


def probe() -> Probe:
    """Spin a fixed amount again and again on an otherwise idle machine."""
    me = [psutil.Process()]
    _spin()
    before = read_clock(me)
    durations = []
    deadline = time.perf_counter() + PROBE_S
    while time.perf_counter() < deadline:
        durations.append(_spin())
    durations.sort()
    steal, foreign = spent(before, read_clock(me))
    median = statistics.median(durations)
    jitter = durations[int(0.95 * len(durations))] / median - 1
    return Probe(median, jitter, steal, foreign)


def complaints(
    rule: NoiseRule, probes: dict[str, Probe], steal: float | None, foreign: float
) -> list[str]:
    """Why a block counts as noisy under the design's rule; empty when it was quiet.

    Parameters
    ----------
    probes
        By moment (`before`, `after`).
    steal, foreign
        Fractions during the block itself.
    """
    found = []
    for moment, seen in probes.items():
        if seen.spin_jitter > rule.spin_jitter:
            found.append(f"spin jitter {seen.spin_jitter:.3f} {moment} > {rule.spin_jitter:g}")
        if seen.foreign_cpu_fraction > rule.foreign_cpu_fraction:
            found.append(
                f"foreign CPU {seen.foreign_cpu_fraction:.3f} {moment} "
                f"> {rule.foreign_cpu_fraction:g}"
            )
    if steal is not None and steal > rule.steal_fraction:
        found.append(f"steal {steal:.3f} during the block > {rule.steal_fraction:g}")
    if foreign > rule.foreign_cpu_fraction:
        found.append(f"foreign CPU {foreign:.3f} during the block > {rule.foreign_cpu_fraction:g}")
    return found


def _spin() -> float:
    started = time.perf_counter()
    total = 0
    for number in range(SPIN_LOOPS):
        total += number
    return time.perf_counter() - started


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system
