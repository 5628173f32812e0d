"""A background thread that reads meters at a steady pace, and the timeline that it leaves."""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from inferometer.meters import energy
from inferometer.meters.base import Device, Meter, MeterLost, Reading
from inferometer.meters.energy import EnergyWindow

PERIOD_S = 0.1
LONGEST_PERIOD_S = 1.0
GAP_PERIODS = 3
PATIENCE_S = 2.0
"""How long a meter is waited for: for its first renewal, and for one after a window."""


@dataclass(frozen=True)
class Loss:
    """When (CLOCK_MONOTONIC) and why a meter vanished."""

    at_s: float
    reason: str


@dataclass(frozen=True)
class Cost:
    """What the sampling itself took: CPU seconds of its thread over `wall_s`."""

    cpu_s: float
    wall_s: float

    @property
    def fraction(self) -> float:
        """Of one core."""
        return self.cpu_s / self.wall_s if self.wall_s else 0.0


@contextmanager
def sampling(meters: Sequence[Meter], period_s: float = PERIOD_S) -> Iterator["Timeline"]:
    """Sample the meters in a background thread while the context lasts, and close them after it.

    Entering and leaving wait until each energy counter has been renewed once more, so that any
    window inside is covered at both edges; with counters renewed every .1 s that is about .2 s. The
    timeline stays usable afterwards. Raises `ValueError` for a period that is not positive or two
    meters of one name.
    """
    timeline = Timeline(meters, period_s)
    timeline._start()
    try:
        yield timeline
    finally:
        timeline._stop()


class Timeline:
    """Readings of several meters over time; all times are CLOCK_MONOTONIC in seconds.

    Made by `sampling`; every method may be called from any thread, while sampling goes on or after.
    """

    def __init__(self, meters: Sequence[Meter], period_s: float = PERIOD_S) -> None:
        if not period_s > 0:
            raise ValueError(f"the sampling period must be above 0 s, got {period_s:g}")
        self._meters = {meter.name: meter for meter in meters}
        if len(self._meters) != len(meters):
            raise ValueError(f"meters must differ in name: {[meter.name for meter in meters]}")
        self._asked_s = period_s
        self._periods = dict.fromkeys(self._meters, period_s)
        self._due = dict.fromkeys(self._meters, 0.0)
        self._readings: dict[str, list[Reading]] = {name: [] for name in self._meters}
        self._newest = dict.fromkeys(self._meters, math.nan)
        self._renewed_s: dict[str, float] = {}
        self._losses: dict[str, Loss] = {}
        self._news = threading.Condition()
        self._ending = False
        self._began_s = self._ended_s = time.monotonic()
        self._cpu_s = 0.0
        self._thread = threading.Thread(target=self._run, name="meters", daemon=True)

    @property
    def losses(self) -> dict[str, Loss]:
        """The meters that vanished, by name."""
        with self._news:
            return dict(self._losses)

    @property
    def periods_s(self) -> dict[str, float]:
        """How often each meter is read now."""
        with self._news:
            return dict(self._periods)

    @property
    def cost(self) -> Cost:
        """CPU time of the sampling so far."""
        with self._news:
            ended = time.monotonic() if self._thread.is_alive() else self._ended_s
            return Cost(self._cpu_s, ended - self._began_s)

    def readings(
        self, meter: str, start_s: float = -math.inf, end_s: float = math.inf
    ) -> list[Reading]:
        """Readings of one meter, by name, taken in `[start_s, end_s]`; the last may tell a loss."""
        with self._news:
            return [r for r in self._readings[meter] if start_s <= r.at_s <= end_s]

    def window(self, start_s: float, end_s: float, device: Device | None = None) -> EnergyWindow:
        """The energy of `[start_s, end_s]` by the meters of one device, summed.

        While sampling goes on, this waits until a sample reaches `end_s`, at most `PATIENCE_S`; in
        asynchronous code call it after the sampling, or by `asyncio.to_thread`.

        Parameters
        ----------
        device
            `gpu` or `cpu`; by default the GPU where its meter is sampled, else the processor.
        """
        names = self._counting(device)
        self._await(names, end_s)
        parts = [self._window_of(name, start_s, end_s) for name in names]
        return energy.total(parts) if parts else energy.no_meter(start_s, end_s)

    def _energy_meters(self) -> list[str]:
        return [name for name, meter in self._meters.items() if meter.energy is not None]

    def _counting(self, device: Device | None) -> list[str]:
        channels = {n: m.energy for n, m in self._meters.items() if m.energy is not None}
        if device is None:
            device = "gpu" if any(c.device == "gpu" for c in channels.values()) else "cpu"
        return [name for name, channel in channels.items() if channel.device == device]

    def _await(self, names: list[str], end_s: float) -> None:
        def reached() -> bool:
            return self._ending or all(
                name in self._losses or self._renewed_s.get(name, -math.inf) >= end_s
                for name in names
            )

        with self._news:
            # a window of the future is not waited for
            if end_s - time.monotonic() < PATIENCE_S:
                self._news.wait_for(reached, timeout=PATIENCE_S)

    def _window_of(self, name: str, start_s: float, end_s: float) -> EnergyWindow:
        channel = self._meters[name].energy
        assert channel is not None
        with self._news:
            taken, loss = list(self._readings[name]), self._losses.get(name)
        times = [reading.at_s for reading in taken]
        values = [_number(reading.values.get(channel.quantity)) for reading in taken]
        period, pace = channel.update_period_s, self._asked_s
        if channel.quantity == "energy_j":
            pace = max(pace, energy.update_period_s(times, values) or 0.0)
        gap = max(energy.MAX_GAP_S, GAP_PERIODS * pace)
        if channel.quantity == "power_w":
            found = energy.from_power(
                times, values, start_s, end_s,
                source=channel.source, update_period_s=period, max_gap_s=gap,
            )  # fmt: skip
        else:
            found = energy.from_counter(
                times, values, start_s, end_s,
                source=channel.source, wrap_j=channel.wrap_j, update_period_s=period, max_gap_s=gap,
            )  # fmt: skip
        if loss and "edges_not_covered" in found.reasons:
            return replace(found, reasons=("meter_lost", *found.reasons))
        return found

    def _start(self) -> None:
        self._thread.start()
        with self._news:
            self._news.wait_for(lambda: all(self._readings.values()), timeout=PATIENCE_S)
        # a window may start now only where the next renewal is seen as it comes
        self._await(self._energy_meters(), time.monotonic())

    def _stop(self) -> None:
        self._await(self._energy_meters(), time.monotonic())
        with self._news:
            self._ending = True
            self._news.notify_all()
        self._thread.join()

    def _run(self) -> None:
        started = time.thread_time()
        while not self._ending and len(self._losses) < len(self._meters):
            now = time.monotonic()
            for name in [name for name, due in self._due.items() if due <= now]:
                self._read(name)
            with self._news:
                self._cpu_s = time.thread_time() - started
                self._news.notify_all()
                left = min(self._due.values()) - time.monotonic()
                if left < math.inf:
                    self._news.wait_for(lambda: self._ending, timeout=max(left, 0.0))
        for name in set(self._meters) - set(self._losses):
            self._read(name)
        for meter in self._meters.values():
            with suppress(Exception):  # a meter that fails to close has given all it had
                meter.close()
        with self._news:
            self._cpu_s, self._ended_s = time.thread_time() - started, time.monotonic()
            self._news.notify_all()

    def _read(self, name: str) -> None:
        try:
            reading = self._meters[name].read()
        except Exception as error:  # whatever ails one meter, the others are read on
            self._lose(name, str(error) if isinstance(error, MeterLost) else repr(error))
            return
        with self._news:
            self._readings[name].append(reading)
            self._note_energy(name, reading)
            now = time.monotonic()
            due = self._due[name] + self._periods[name]
            self._due[name] = due if due > now else now + self._periods[name]

    def _lose(self, name: str, reason: str) -> None:
        with self._news:
            loss = self._losses[name] = Loss(time.monotonic(), reason)
            self._due[name] = math.inf
            self._readings[name].append(Reading(name, loss.at_s, {}, ("meter_lost", reason)))

    def _note_energy(self, name: str, reading: Reading) -> None:
        """Note when the energy was renewed; a slow counter is then read twice per renewal."""
        channel = self._meters[name].energy
        value = reading.values.get(channel.quantity) if channel else None
        if channel is None or value is None:
            return
        if channel.quantity == "power_w":
            self._renewed_s[name] = reading.at_s
        elif value != self._newest[name]:
            self._newest[name] = value
            apart = reading.at_s - self._renewed_s.get(name, reading.at_s)
            self._renewed_s[name] = reading.at_s
            self._periods[name] = max(self._asked_s, min(apart / 2, LONGEST_PERIOD_S))


def _number(value: float | None) -> float:
    return math.nan if value is None else value
