"""The sampler on real processes: one that grows, one that is killed, and its own cost."""

import os
import subprocess
import sys
import threading
import time

import pytest
from checkouts import until

from inferometer.meters.base import MeterLost, Reading
from inferometer.meters.memory import ProcessMeter
from inferometer.meters.sampler import Timeline, sampling

GROWING = """
import time
held = []
print("ready", flush=True)
input()
for _ in range(10):
    held.append(b"x" * 4_000_000)
    time.sleep(.05)
print("grown", flush=True)
input()
"""


@pytest.fixture
def growing():
    child = subprocess.Popen(
        [sys.executable, "-c", GROWING], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child.stdout.readline()
    yield child
    child.kill()
    child.communicate()


def test_a_growing_process(growing):
    meter = ProcessMeter(growing.pid)
    with sampling([meter], 0.02) as timeline:
        growing.stdin.write(b"\n")
        growing.stdin.flush()
        assert growing.stdout.readline() == b"grown\n"
    readings = timeline.readings(meter.name)
    sizes = [reading.values["resident_bytes"] for reading in readings]
    assert sizes[-1] - sizes[0] >= 20e6
    assert sizes == sorted(sizes)
    times = [reading.at_s for reading in readings]
    assert times == sorted(times)
    assert timeline.readings(meter.name, times[3], times[5]) == readings[3:6]


def test_a_killed_process_ends_its_meter_and_no_other(growing):
    victim, own = ProcessMeter(growing.pid), ProcessMeter(os.getpid())
    with sampling([victim, own], 0.02) as timeline:
        assert until(lambda: len(timeline.readings(victim.name)) > 5)
        alive = time.monotonic()
        growing.kill()  # not waited for yet: a zombie
        assert until(lambda: timeline.losses)
        lost = time.monotonic()
        assert until(lambda: timeline.readings(own.name, lost))
    assert set(timeline.losses) == {victim.name}
    assert alive <= timeline.losses[victim.name].at_s <= lost
    assert timeline.readings(victim.name)[-1].reasons == (
        "meter_lost",
        f"process {growing.pid} has ended",
    )


def test_the_only_meter_lost_ends_the_sampling(growing):
    meter = ProcessMeter(growing.pid)
    with sampling([meter], 0.02) as timeline:
        growing.kill()
        assert until(lambda: all(thread.name != "meters" for thread in threading.enumerate()))
    assert meter.name in timeline.losses


def test_cost_is_below_one_per_cent_of_a_core():
    with sampling([ProcessMeter(os.getpid())]) as timeline:
        time.sleep(1.5)
    cost, readings = timeline.cost, timeline.readings(f"memory:{os.getpid()}")
    assert cost.wall_s >= 1.5
    # one every .1 s and one at the end; a busy machine skips some
    assert 5 <= len(readings) <= cost.wall_s / 0.1 + 2
    assert 0 < cost.fraction < 0.01


def test_no_meter_at_all():
    with sampling([]) as timeline:
        start = time.monotonic()
        time.sleep(0.05)
    assert timeline.window(start, start + 0.05).reasons == ("no_meter",)
    assert timeline.window(start, start + 0.05).energy_j is None


def test_memory_is_no_energy_meter():
    with sampling([ProcessMeter(os.getpid())]) as timeline:
        assert timeline.window(0, 1).reasons == ("no_meter",)


def test_windows_of_another_process_match():
    said = subprocess.run(
        [sys.executable, "-c", "import time; print(time.monotonic())"],
        capture_output=True,
        check=True,
    )
    assert 0 <= time.monotonic() - float(said.stdout) < 60


class Failing:
    """A meter with a bug, to see that it takes nothing else with it."""

    name = "failing"
    energy = None

    def __init__(self):
        self.closed = False

    def read(self):
        raise ZeroDivisionError("a bug")

    def close(self):
        self.closed = True
        raise MeterLost("and another")


def test_a_meter_that_fails_in_any_way_is_lost_alone():
    failing, own = Failing(), ProcessMeter(os.getpid())
    with sampling([failing, own], 0.02) as timeline:
        assert until(lambda: timeline.losses and len(timeline.readings(own.name)) >= 3)
    assert "ZeroDivisionError" in timeline.losses["failing"].reason
    assert failing.closed


def test_an_exception_inside_ends_the_thread():
    with pytest.raises(KeyError), sampling([ProcessMeter(os.getpid())]):
        raise KeyError
    assert not any(thread.name == "meters" for thread in threading.enumerate())


def test_read_from_many_threads_at_once():
    own = ProcessMeter(os.getpid())
    errors = []

    def look(timeline):
        try:
            for _ in range(200):
                timeline.readings(own.name)
                timeline.window(time.monotonic() - 0.1, time.monotonic())
                assert timeline.cost.cpu_s >= 0
        except Exception as error:
            errors.append(error)

    with sampling([own], 0.002) as timeline:
        threads = [threading.Thread(target=look, args=(timeline,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


def test_mistakes_of_the_caller():
    with pytest.raises(ValueError, match="above 0"):
        Timeline([], 0)
    with pytest.raises(ValueError, match="differ in name"):
        Timeline([ProcessMeter(os.getpid()), ProcessMeter(os.getpid())])


def test_a_reading_is_plain_data():
    reading = Reading("memory:1", 2.5, {"resident_bytes": 3}, ("note",))
    assert reading.to_dict() == {
        "meter": "memory:1",
        "at_s": 2.5,
        "values": {"resident_bytes": 3},
        "reasons": ("note",),
    }
