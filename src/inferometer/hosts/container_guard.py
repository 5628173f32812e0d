"""Run one container that ends with us: `python container_guard.py ENGINE NAME ARGS...`.

Standard library only. `ENGINE run ARGS...` is started; ARGS name the container NAME. A container
is no child of ours but of the engine, so ending the engine's client would leave it running. On
SIGTERM the container is asked to stop, and killed when it does not within `STOP_S`. Should the
server's guard be killed, and we with it, a second process, which waits for that, removes the
container. (Killed alone, we leave it: the guard then ends that second process too.)
"""

import os
import signal
import subprocess
import sys
import threading

STOP_S = 2.0
"""Shorter than what the guard of the server process grants, which ends everything after it."""


def _engine(engine: str, *arguments: str) -> None:
    """A call of the engine whose outcome does not matter: the container may be gone already."""
    subprocess.run(
        [engine, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def watch(engine: str, name: str) -> int:
    """Wait until our parent has gone, however it went; then remove the container."""
    while os.read(0, 64):
        pass
    _engine(engine, "rm", "--force", name)
    return 0


def main(engine: str, name: str, arguments: list[str]) -> int:
    """Run the container until it ends or we are told to end it; the code of the engine."""
    command = [sys.executable, __file__, "--watch", engine, name]
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    client = subprocess.Popen([engine, "run", *arguments], stdin=subprocess.DEVNULL)
    while client.poll() is None and not told.wait(0.05):
        pass
    if client.poll() is None:
        _engine(engine, "kill", "--signal", "TERM", name)
        try:
            client.wait(STOP_S)
        except subprocess.TimeoutExpired:
            _engine(engine, "kill", name)
    code = client.wait()
    if watcher.stdin is not None:
        watcher.stdin.close()
    watcher.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    if sys.argv[1] == "--watch":
        sys.exit(watch(*sys.argv[2:4]))
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
