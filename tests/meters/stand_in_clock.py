"""A stand-in for the clock, the sleeping and the waiting of the sampler's threads.

The threads are real, and so is what they do; seconds pass only while all of them wait, however
busy the machine is. What is sampled when is thereby the same on every run.
"""

import threading
from collections.abc import Callable


class Clock(threading.Condition):
    """Takes the place of `time`, and is the one condition that threads started after it wait on."""

    def __init__(self, now_s: float = 1000.1123) -> None:
        super().__init__()
        self._now_s = now_s
        self._others = set(threading.enumerate()) - {threading.current_thread()}
        self._waking_s: dict[threading.Thread, float] = {}

    def monotonic(self) -> float:
        self._now_s += 1e-6  # two looks never find the same time
        return self._now_s

    thread_time = monotonic

    def sleep(self, seconds: float) -> None:
        with self:
            self.wait_for(lambda: False, seconds)

    def notify_all(self) -> None:
        self._waking_s.clear()  # whoever is woken looks anew before time goes on
        super().notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        assert timeout is not None
        own, until_s = threading.current_thread(), self._now_s + timeout
        while not (met := predicate()) and self._now_s < until_s:
            self._waking_s[own] = until_s
            if self._waking_s.keys() >= set(threading.enumerate()) - self._others:
                self._now_s = min(self._waking_s.values())
                self.notify_all()
            else:
                self.wait(0.01)  # of real time: a thread that ends wakes nobody
        self._waking_s.pop(own, None)
        return met
