import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import psutil
import pytest
from checkouts import until

from inferometer.artifacts import catalog, fetch
from inferometer.errors import NotTestableHere, UserError
from inferometer.hosts import memory_cap
from inferometer.load.client import StreamingClient
from inferometer.load.prompts import PromptSource
from inferometer.stacks.base import GenerationRequest
from inferometer.stacks.llamacpp import LlamaCpp, LlamaCppSettings
from inferometer.stacks.server import GUARD, free_port, running

CAP = Path(memory_cap.__file__)
REASON = memory_cap.unavailable(64)
capped = pytest.mark.skipif(REASON is not None, reason=f"no memory limit here: {REASON}")
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
RUNNER = """
import subprocess, sys
guard = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE)
guard.wait()
"""


@pytest.fixture
def start():
    """Start a command; it is killed at the end, also that of a failed test."""
    started = []

    def run(command: list[str]) -> subprocess.Popen:
        started.append(subprocess.Popen(command))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def groups():
    """List the capped groups made since the test began: other runs may have theirs."""

    def every() -> set[Path]:
        return set(memory_cap.hierarchy().mount.rglob(memory_cap.NAME + "*"))

    before = every() if REASON is None else set()
    return lambda: every() - before


def under_cap(limit_mib: int, *command: str, files: tuple[Path, ...] = ()) -> list[str]:
    return [sys.executable, str(CAP), str(limit_mib), *map(str, files), "--", *command]


@capped
def test_what_a_command_allocates_beyond_its_limit_ends_it_and_says_so(groups):
    code = "held = bytearray({} << 20); print(len(held))"
    small = subprocess.run(under_cap(96, sys.executable, "-c", code.format(32)))
    assert small.returncode == 0
    large = subprocess.run(
        under_cap(96, sys.executable, "-c", code.format(256)), capture_output=True, text=True
    )
    assert large.returncode == 128 + signal.SIGKILL
    assert "the kernel killed the command at its memory limit" in large.stderr
    assert not groups()


@capped
def test_a_mapped_file_counts_and_is_pushed_out_instead_of_killing(tmp_path):
    """Three times 64 MiB of file pages under 64 MiB: the pages are read again each time."""
    file = tmp_path / "weights"
    file.write_bytes(os.urandom(96 << 20))
    code = """
import mmap, resource, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as held:
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        sum(held[::4096])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_majflt - before)
"""
    for limit_mib, again in ((64, True), (256, False)):
        done = subprocess.run(
            under_cap(limit_mib, sys.executable, "-c", code, str(file), files=(file,)),
            capture_output=True,
            text=True,
        )
        first, _, last = map(int, done.stdout.split())
        assert first > 0, "the file was not dropped from the page cache"
        assert (last > 0) == again


@capped
def test_a_model_that_another_process_holds_in_memory_is_refused(tmp_path, groups):
    file = tmp_path / "weights"
    file.write_bytes(os.urandom(8 << 20))
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import mmap, sys, time\n"
            "f = open(sys.argv[1], 'rb')\n"
            "m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\n"
            "sum(m[::4096]); print('held', flush=True); time.sleep(600)",
            str(file),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        done = subprocess.run(
            under_cap(64, *SLEEP, files=(file,)), capture_output=True, text=True, timeout=20
        )
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert done.returncode == 1
    assert "8 MiB of weights stay in memory" in done.stderr
    assert not groups()


@capped
def test_kill_of_the_runner_leaves_no_process_and_no_group(groups, start):
    runner = start([sys.executable, "-c", RUNNER, str(GUARD), *under_cap(64, *SLEEP)])
    assert until(lambda: any((group / "cgroup.procs").read_text() for group in groups()), 10)
    inside = [int(each) for group in groups() for each in _members(group)]
    runner.kill()
    runner.wait()
    assert until(lambda: not any(psutil.pid_exists(pid) for pid in inside), 8)
    assert until(lambda: not groups(), 8)


@capped
def test_asking_it_twice_to_stop_leaves_nothing(groups, start):
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    cap = start(under_cap(64, sys.executable, "-c", deaf))
    assert until(lambda: any(_members(group) for group in groups()), 10)
    time.sleep(0.3)
    cap.terminate()
    time.sleep(0.3)
    cap.terminate()
    assert cap.wait(10) == 128 + signal.SIGTERM
    assert not groups()


@capped
def test_kill_of_the_cap_itself_leaves_nothing_after_the_next_start(groups, start):
    cap = start(under_cap(64, *SLEEP))
    assert until(lambda: any(_members(group) for group in groups()), 10)
    (group,) = groups()
    (inside,) = map(int, _members(group))
    cap.kill()
    cap.wait()
    assert until(lambda: not psutil.pid_exists(inside), 8)
    assert group.exists()
    assert memory_cap.unavailable(64) is None
    assert not group.exists()


def _members(group: Path) -> list[str]:
    return (group / "cgroup.procs").read_text().split()


def test_where_no_group_can_be_made_the_reason_comes_before_the_start(monkeypatch, tmp_path):
    """A stand-in for another machine: a hierarchy whose folder takes no new group."""
    (tmp_path / "process").write_text("a file, so no folder can be made in it")
    closed = memory_cap.Hierarchy(1, tmp_path / "process", "/")
    monkeypatch.setattr(memory_cap, "hierarchy", lambda: closed)
    monkeypatch.setattr(memory_cap.Hierarchy, "group_of", lambda self, pid: self.mount)
    settings = LlamaCppSettings(slots=1, context_per_slot=512, memory_limit_mib=64)
    with pytest.raises(NotTestableHere, match="memory_limit_mib = 64: no memory control group"):
        LlamaCpp().launch(settings, tmp_path / "model", Path(sys.executable), 1)


@pytest.fixture(scope="module")
def smollm(environments_folder, tmp_path_factory):
    """Start the real server with its own copy of a real model: no other process may map it."""
    shipped = fetch.fetch("smollm2-135m-q4_1", catalog.shipped()).path
    model = Path(shutil.copy(shipped, tmp_path_factory.mktemp("model")))
    python = environments_folder / "llamacpp" / "bin" / "python"

    def start(settings: LlamaCppSettings, log: Path):
        launch = LlamaCpp().launch(settings, model, python, free_port())
        return running(LlamaCpp(), settings, launch, log, ready_limit_s=60)

    return start


async def one_request(server, settings: LlamaCppSettings, prompt_tokens: int) -> dict:
    async with StreamingClient(
        server.base_url, LlamaCpp().dialect(settings), timeout_s=60, clock_origin=time.monotonic()
    ) as client:
        prompts = await PromptSource.build(client, "cap")
        request = GenerationRequest(prompts.prompt(prompt_tokens, 0), 4, 0)
        return await client.generate(request, agent=0, sequence=0)


def major_faults(server) -> int:
    lines = [Path(f"/proc/{process.pid}/stat").read_text() for process in server.processes()]
    return sum(int(line.rpartition(")")[2].split()[9]) for line in lines)


@capped
def test_a_capped_server_reads_its_weights_again_for_every_token(smollm, tmp_path, groups):
    async def faults(limit_mib: int) -> tuple[dict, int]:
        settings = LlamaCppSettings(
            slots=1, context_per_slot=2048, threads=1, memory_limit_mib=limit_mib
        )
        async with smollm(settings, tmp_path / "log") as server:
            assert server.read_back["memory_limit_bytes"] == limit_mib * memory_cap.MIB
            await one_request(server, settings, 8)
            before = major_faults(server)
            return await one_request(server, settings, 8), major_faults(server) - before

    roomy, few = asyncio.run(faults(512))
    tight, many = asyncio.run(faults(130))
    assert roomy["status"] == tight["status"] == "ok"
    assert few < 10 < 20 < many  # a page of the program itself may be missing now and then
    assert not groups()


@capped
def test_a_server_that_cannot_fit_is_one_message(smollm, tmp_path, groups):
    settings = LlamaCppSettings(slots=1, context_per_slot=8192, threads=1, memory_limit_mib=128)

    async def main() -> None:
        async with smollm(settings, tmp_path / "log"):
            pass

    with pytest.raises(UserError, match=r"ended with code 137 before(.|\n)*at its memory limit"):
        asyncio.run(main())
    assert not groups()


@capped
def test_a_limit_that_is_not_in_force_is_noticed(smollm, tmp_path):
    plain = LlamaCppSettings(slots=1, context_per_slot=512, threads=1)
    settings = plain.model_copy(update={"memory_limit_mib": 200})

    async def main() -> None:
        async with smollm(plain, tmp_path / "log") as server, aiohttp.ClientSession() as http:
            await LlamaCpp().read_back(http, server.base_url, settings)

    with pytest.raises(UserError, match="asked for memory_limit_mib = 200; the kernel holds"):
        asyncio.run(main())
