"""One measurement at a time on a machine, whoever starts it.

Snakemake's `bench` resource orders the jobs of one workflow; this lock also holds between
workflows, clones and users. The kernel drops it when its holder dies.
"""

import errno
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_FILE = Path("/tmp/inferometer-bench.lock")
"""Machine-wide on purpose: a folder of the project or a `TMPDIR` would not be."""


@contextmanager
def bench(purpose: str, *, path: Path = LOCK_FILE) -> Iterator[None]:
    """Hold the machine's bench; wait, saying so once, while another process holds it."""
    descriptor = _open(path)
    try:
        announced = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            if not announced:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
                print(
                    f"waiting for the bench: {holder or 'another measurement'} is measuring on "
                    "this machine, and two at once would disturb each other",
                    file=sys.stderr,
                    flush=True,
                )
                announced = True
            time.sleep(0.2)
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{purpose} (process {os.getpid()})".encode(), 0)
        yield
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    # Without O_CREAT first: sticky folders refuse to "create" a file that another user owns.
    with suppress(FileNotFoundError):
        return os.open(path, os.O_RDWR)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    with suppress(OSError):
        os.fchmod(descriptor, 0o666)
    return descriptor
