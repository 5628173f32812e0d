import contextlib
import os
import signal
import subprocess
import sys

import psutil
import pytest
from checkouts import until

from inferometer.stacks.server import GUARD

FAMILY = """
import subprocess, sys, time
from pathlib import Path
child = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
)
import os
Path(sys.argv[1]).with_suffix(".draft").write_text(f"{os.getpid()} {child.pid}")
Path(sys.argv[1]).with_suffix(".draft").rename(sys.argv[1])
time.sleep(600)
"""
PARENT = """
import subprocess, sys
guard = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE)
print(guard.pid, flush=True)
guard.wait()
"""


@pytest.fixture
def family(tmp_path):
    """A parent, its guard, the guarded process and its child in a session of its own."""
    pids = tmp_path / "pids"
    command = [str(GUARD), sys.executable, "-c", FAMILY, str(pids)]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *command],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    guard = int(parent.stdout.readline())
    assert until(pids.exists)
    members = [psutil.Process(int(pid)) for pid in [guard, *pids.read_text().split()]]
    yield parent, members
    for process in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    parent.kill()
    parent.wait()
    parent.stdout.close()


def gone(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_nothing_survives_the_kill_of_the_parent(family):
    parent, members = family
    parent.send_signal(signal.SIGKILL)
    assert until(lambda: all(gone(process) for process in members))


def test_the_server_dies_with_its_guard(family):
    _, (guard, server, _) = family
    guard.kill()
    assert until(lambda: gone(server))


def test_a_server_that_ends_takes_its_children_along(family):
    _, (guard, server, child) = family
    server.kill()
    assert until(lambda: gone(child) and gone(guard))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_temporary_files_go_with_the_server(tmp_path, number):
    code = (
        "import pathlib, sys, tempfile, time; tempfile.mkstemp(); "
        "pathlib.Path(sys.argv[1], 'mine').touch(); print('made', flush=True); time.sleep(600)"
    )
    guard = subprocess.Popen(
        [sys.executable, str(GUARD), sys.executable, "-c", code, "$TMPDIR"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert guard.stdout.readline() == b"made\n"
    assert len(list(tmp_path.glob("inferometer-*/*"))) == 2
    psutil.Process(guard.pid).children()[0].send_signal(number)
    assert guard.wait(10) == 128 + number
    assert not list(tmp_path.iterdir())
    guard.stdin.close()
    guard.stdout.close()


def test_the_exit_status_of_the_server_is_passed_on():
    command = [sys.executable, str(GUARD), sys.executable, "-c", "raise SystemExit(7)"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.wait(30) == 7
    process.stdin.close()
