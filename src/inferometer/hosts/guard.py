"""Run one server so that nothing of it survives us: `python guard.py COMMAND...`.

Standard library only. Its standard input is a pipe from the measuring process: when that pipe
closes, whatever the reason (even `kill -9`), the server and everything it started is killed.
Should this guard itself be killed, the kernel kills the server (Linux).

The server's temporary files (`TMPDIR`) are in a folder that goes with it, however it ends: sockets,
compiler caches and traces are not left to the programs that made them. `$TMPDIR` in an argument is
that folder.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 3.0
REMOVE_LIMIT_S = 1.0


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _prepare_child() -> None:
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _children() -> list[int]:
    """Every descendant, also those that changed their process group (Linux)."""
    mine = {os.getpid()}
    found: list[int] = []
    try:
        names = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        table = [(int(name), _parent(name)) for name in names]
    except OSError:
        return []
    grown = True
    while grown:
        grown = False
        for pid, parent in table:
            if parent in mine and pid not in mine:
                mine.add(pid)
                found.append(pid)
                grown = True
    return found


def _parent(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _end(server: subprocess.Popen, folder: Path) -> None:
    """Ask the server to stop, kill all that is left, remove its temporary files."""
    if server.poll() is None:
        server.terminate()
        deadline = time.monotonic() + GRACE_S
        while server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    for pid in [*_children(), server.pid]:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    server.poll()
    _remove(folder)


def _remove(folder: Path) -> None:
    """Again while what was just killed may still write."""
    deadline = time.monotonic() + REMOVE_LIMIT_S
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Start the command, wait for it or for our parent's end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the measuring process decides, not the terminal
    signal.signal(signal.SIGTERM, lambda *_: os.close(0))
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    # short: paths of UNIX sockets end at 107 characters
    folder = Path(tempfile.mkdtemp(prefix="inferometer-"))
    server = subprocess.Popen(
        [word.replace("$TMPDIR", str(folder)) for word in sys.argv[1:]],
        stdin=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(folder)},
        preexec_fn=_prepare_child,
    )

    def watch() -> None:
        with suppress(OSError):
            while os.read(0, 64):
                pass
        _end(server, folder)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    code = server.wait()
    _end(server, folder)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
