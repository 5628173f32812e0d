"""Runs a client at the calibration server, and takes the server's log and the client's CPU time."""

import json
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass

import numpy as np
import psutil

from inferometer.errors import UserError

from .clients import ROOT, Client, Run
from .reported import Reported

LIMIT_S = 180
SAMPLE_S = 0.2


@dataclass(frozen=True)
class Served:
    """One request by the server's own clock: its arrival, and when each token was written."""

    arrived_s: float
    written_s: list[float]


@dataclass(frozen=True)
class Outcome:
    """What a client reports, what the server saw, and the client's CPU seconds so far by time.

    `wall_ahead_s`: the wall clock less the monotonic one.
    """

    reported: Reported
    served: list[Served]
    cpu_at_s: list[tuple[float, float]]
    wall_ahead_s: float
    wall_s: float


class CpuWatch(threading.Thread):
    """CPU seconds of a process and its descendants, those that have ended included."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process, self._by_pid = psutil.Process(pid), dict[int, float]()
        self.seen: list[tuple[float, float]] = []
        self._ended = threading.Event()

    def run(self) -> None:
        """Sample until stopped."""
        while not self._ended.wait(SAMPLE_S):
            try:
                family = [self._process, *self._process.children(recursive=True)]
            except psutil.Error:
                return
            for process in family:
                try:
                    times = process.cpu_times()
                except psutil.Error:
                    continue  # it has ended; what it used until the last sample stays counted
                self._by_pid[process.pid] = times.user + times.system
            self.seen.append((time.monotonic(), sum(self._by_pid.values())))

    def stop(self) -> None:
        """End the sampling."""
        self._ended.set()
        self.join()


def run_client(client: Client, run: Run) -> Outcome:
    """One run of one client; `UserError` with its last words where it fails."""
    command, begun_s = client.command(run), time.monotonic()
    server_log(run.url)
    output = run.folder / "output.txt"
    with output.open("w") as stream:
        process = subprocess.Popen(
            command,
            cwd=ROOT / "benchmarks" if client.environment is None else run.folder,
            env=client.variables(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
        watch = CpuWatch(process.pid)
        watch.start()
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
            watch.stop()
    if code != 0:
        words = " ".join(output.read_text(errors="replace").split()[-40:])
        what = f"exit status {code}" if code is not None else f"no end within {LIMIT_S} s"
        raise UserError(f"{client.name}: {what}: {words}")
    return Outcome(
        client.read(run.folder),
        server_log(run.url),
        watch.seen,
        time.time() - time.monotonic(),
        time.monotonic() - begun_s,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a client that is still there, and what it started."""
    if process.poll() is None:
        for each in psutil.Process(process.pid).children(recursive=True):
            each.kill()
        process.kill()
        process.wait()


def server_log(url: str) -> list[Served]:
    """Requests that arrived since the last time, in order of arrival."""
    with urllib.request.urlopen(f"{url}/log", timeout=30) as answer:
        rows = json.load(answer)["requests"]
    found = [Served(row["arrived_s"], row["written_s"]) for row in rows]
    return sorted(found, key=lambda request: request.arrived_s)


def cpu_between(outcome: Outcome, begin_s: float, end_s: float) -> float:
    """CPU seconds of the client between two times, from samples `SAMPLE_S` apart."""
    times, used = np.array(outcome.cpu_at_s).T
    begin, end = np.interp([begin_s, end_s], times, used)
    return float(end - begin)
