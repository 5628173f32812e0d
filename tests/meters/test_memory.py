"""Memory of real processes, and limits of control groups from folders shaped like them."""

import resource
import subprocess
import sys

import psutil
import pytest

from inferometer.meters import memory
from inferometer.meters.base import MeterAbsent, MeterLost
from inferometer.meters.memory import Capacity, ProcessMeter

GIB = 2**30


def test_own_memory_is_what_psutil_says():
    values = ProcessMeter(psutil.Process().pid).read().values
    assert values["resident_bytes"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.02)
    assert values["peak_resident_bytes"] >= values["resident_bytes"]
    assert 0 < values["available_bytes"] < psutil.virtual_memory().total


def test_peak_stays_when_memory_is_given_back():
    meter = ProcessMeter(psutil.Process().pid)
    block = bytearray(64 * 2**20)
    for page in range(0, len(block), 4096):
        block[page] = 1
    high = meter.read().values["resident_bytes"]
    del block
    after = meter.read().values
    assert after["resident_bytes"] < high - 50 * 2**20
    assert after["peak_resident_bytes"] >= high - 2**20


def test_a_process_that_ended():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    meter = ProcessMeter(child.pid)
    child.kill()
    child.wait()
    with pytest.raises(MeterLost, match="has ended"):
        meter.read()
    with pytest.raises(MeterAbsent):
        ProcessMeter(child.pid)


def test_capacity_here():
    found = memory.capacity()
    assert found.ram_bytes == psutil.virtual_memory().total
    assert 0 < found.effective_bytes <= found.ram_bytes


def test_capacity_of_a_process_with_a_limit():
    limit = 3 * GIB // 2
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    try:
        found = memory.capacity(child.pid)
    finally:
        child.kill()
        child.communicate()
    assert found.rlimit_bytes == limit
    assert found.effective_bytes <= limit
    with pytest.raises(MeterAbsent):
        memory.capacity(child.pid)


@pytest.mark.parametrize(
    ("capacity", "effective", "by"),
    [
        (Capacity(24 * GIB, None, None), 24 * GIB, "ram"),
        (Capacity(24 * GIB, 8 * GIB, None), 8 * GIB, "cgroup"),
        (Capacity(24 * GIB, 8 * GIB, 4 * GIB), 4 * GIB, "rlimit"),
        (Capacity(24 * GIB, 64 * GIB, None), 24 * GIB, "ram"),
    ],
)
def test_effective_capacity(capacity, effective, by):
    assert (capacity.effective_bytes, capacity.limited_by) == (effective, by)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def test_limit_of_the_second_control_groups_with_ancestors(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    membership.write_text("0::/a/b\n")
    write(root / "cgroup.controllers", "memory")
    write(root / "a/memory.max", 4 * GIB)
    write(root / "a/b/memory.max", "max")
    assert memory.cgroup_limit(membership, root) == 4 * GIB
    write(root / "a/b/memory.max", 2 * GIB)
    assert memory.cgroup_limit(membership, root) == 2 * GIB


def test_limit_of_the_first_control_groups_in_a_container(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    # the path is that of the host; in the container the group is the root
    membership.write_text("5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n")
    write(root / "memory/memory.limit_in_bytes", 6 * GIB)
    assert memory.cgroup_limit(membership, root) == 6 * GIB
    write(root / "memory/memory.limit_in_bytes", 9223372036854771712)
    assert memory.cgroup_limit(membership, root) is None


def test_no_control_groups(tmp_path):
    assert memory.cgroup_limit(tmp_path / "membership", tmp_path) is None
