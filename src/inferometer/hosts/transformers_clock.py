"""Clocks for the steps of one phase: when it started, and the seconds between marks."""

import time
from itertools import pairwise

import torch


class HostClock:
    """CLOCK_MONOTONIC; on a CPU torch returns when the work is done."""

    name = "CLOCK_MONOTONIC"

    def start(self) -> None:
        """The first mark."""
        self.marks = [time.monotonic()]

    def mark(self) -> None:
        """One more step has ended."""
        self.marks.append(time.monotonic())

    def stop(self) -> tuple[float, list[float]]:
        """When it started, and the seconds between marks."""
        return self.marks[0], [end - begin for begin, end in pairwise(self.marks)]


class CudaClock:
    """CUDA events on the stream of the work; the start is also read on CLOCK_MONOTONIC."""

    name = "CUDA events"

    def start(self) -> None:
        """The first mark."""
        torch.cuda.synchronize()
        self.started_s = time.monotonic()
        self.events: list[torch.cuda.Event] = []
        self.mark()

    def mark(self) -> None:
        """One more step has ended."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.events.append(event)

    def stop(self) -> tuple[float, list[float]]:
        """When it started, and the seconds between marks."""
        torch.cuda.synchronize()
        spans = pairwise(self.events)
        return self.started_s, [begin.elapsed_time(end) / 1e3 for begin, end in spans]
