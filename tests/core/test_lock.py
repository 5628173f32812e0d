import subprocess
import sys
import time

import psutil
import pytest

HOLDER = """
import sys, time
from pathlib import Path
from inferometer.lock import bench
with bench(sys.argv[2], path=Path(sys.argv[1])):
    print("held", time.monotonic(), flush=True)
    sys.stdin.readline()
    print("released", time.monotonic(), flush=True)
"""


@pytest.fixture
def holders(tmp_path):
    started = []

    def start(purpose):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path / "bench.lock"), purpose],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_process_says_who_measures_and_waits(holders):
    first = holders("tr129 first")
    assert first.stdout.readline().startswith("held")
    second = holders("tr129 second")
    message = second.stderr.readline()
    assert "tr129 first" in message
    assert str(first.pid) in message
    first.stdin.write("\n")
    first.stdin.flush()
    released = float(first.stdout.readline().split()[1])
    held = float(second.stdout.readline().split()[1])
    assert held >= released


def test_a_holder_that_is_killed_releases_the_bench(holders):
    first = holders("killed")
    assert first.stdout.readline().startswith("held")
    second = holders("next")
    second.stderr.readline()
    killed = time.monotonic()
    psutil.Process(first.pid).kill()
    assert float(second.stdout.readline().split()[1]) >= killed
