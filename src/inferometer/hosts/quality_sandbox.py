"""Run a generated function and its checks: `python -I -S -B quality_sandbox.py FD`, job on stdin.

Standard library only. Limits are set before anything of the job runs. The verdict goes to the file
descriptor FD, behind a token that the job does not know: code that ends the process early, or
prints, has not passed. The audit hook keeps mistakes of generated code off the machine; it is no
wall against code that means harm.
"""

import ctypes
import json
import os
import resource
import signal
import struct
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

MAX_WRITTEN_FILES = 32
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
NEVER = {
    "ctypes.dlopen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.kill",
    "os.killpg",
    "os.posix_spawn",
    "os.putenv",
    "os.spawn",
    "os.startfile",
    "os.system",
    "pty.spawn",
    "resource.prlimit",
    "resource.setrlimit",
    "signal.pthread_kill",
    "socket.__new__",
    "subprocess.Popen",
}
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MOUNT_SETATTR, AT_RECURSIVE = 442, 0x8000
CHANGING = {
    f"os.{name}"
    for name in (
        *("chflags", "chmod", "chown", "link", "mkdir", "mkfifo", "remove", "rename"),
        *("rmdir", "setxattr", "symlink", "truncate", "utime"),
    )
}


class Forbidden(PermissionError):
    """What generated code may not do."""


class LimitReached(BaseException):
    """A limit of time; no `except Exception` of the job takes it."""


class Rules:
    """The audit hook; `denied` remembers what was tried, also where the job took the error."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)
        self.denied: list[str] = []
        self.written: set[str] = set()

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        """Raise `Forbidden` for an event that is not allowed."""
        if event == "open":
            path, _, flags = given
            if isinstance(path, str | bytes | os.PathLike) and flags & WRITING:
                self._within(event, path)
                self.written.add(os.fsdecode(path))
                if len(self.written) > MAX_WRITTEN_FILES:
                    self._deny(event, f"more than {MAX_WRITTEN_FILES} files")
        elif event in NEVER:
            self._deny(event, "")
        elif event in CHANGING:
            for path in given:
                if isinstance(path, str | bytes | os.PathLike):
                    self._within(event, path, given[-1])

    def _within(self, event: str, path: Any, dir_fd: Any = -1) -> None:
        # the last argument of these events is the folder that the path is relative to
        relative = isinstance(dir_fd, int) and dir_fd >= 0 and event not in ("open", "os.truncate")
        start = Path(f"/proc/self/fd/{dir_fd}").readlink() if relative else Path.cwd()
        whole = os.path.realpath(start / os.fsdecode(path))
        if os.path.commonpath([whole, self.folder]) != self.folder:
            self._deny(event, os.fsdecode(path))

    def _deny(self, event: str, what: str) -> None:
        said = f"{event} {what}".strip()
        if said not in self.denied and len(self.denied) < MAX_WRITTEN_FILES:
            self.denied.append(said)
        raise Forbidden(f"not allowed: {said}")


def main() -> None:
    """Take the job, run it within its limits, write the verdict."""
    verdict = int(sys.argv[1])
    job = json.loads(sys.stdin.read())
    read_only = job["namespaces"] and _read_only(str(Path.cwd()))
    rules = Rules(str(Path.cwd()))
    _limit(job)
    said: dict[str, Any] = {"token": job["token"], "read_only": read_only, **_run(job, rules)}
    said["denied"] = rules.denied
    os.write(verdict, json.dumps(said).encode())
    os._exit(0)  # threads that the job left behind do not matter


def _read_only(folder: str) -> bool:
    """Make every mount but `folder` read-only, in a mount namespace of our own (Linux 5.12)."""
    kernel, place = ctypes.CDLL(None, use_errno=True), folder.encode()
    size = struct.calcsize("QQQQ")
    # attributes to set, to clear; the first one is "read-only"
    lock, unlock = struct.pack("QQQQ", 1, 0, 0, 0), struct.pack("QQQQ", 0, 1, 0, 0)
    done = (
        kernel.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0
        and kernel.mount(place, place, None, MS_BIND, None) == 0
        and kernel.syscall(MOUNT_SETATTR, -100, b"/", AT_RECURSIVE, lock, size) == 0
        and kernel.syscall(MOUNT_SETATTR, -100, place, 0, unlock, size) == 0
    )
    os.chdir(folder)  # into the mount that can be written
    return done


def _limit(job: dict[str, Any]) -> None:
    def reached(number: int, _: FrameType | None) -> None:
        raise LimitReached("cpu" if number == signal.SIGXCPU else "timeout")

    cpu_s = job["cpu_s"]
    limits = {
        resource.RLIMIT_CPU: (cpu_s, cpu_s + 1),
        resource.RLIMIT_AS: (job["memory_bytes"],) * 2,
        resource.RLIMIT_FSIZE: (job["file_bytes"],) * 2,
        resource.RLIMIT_NOFILE: (64, 64),
        resource.RLIMIT_CORE: (0, 0),
    }
    for limit, value in limits.items():
        resource.setrlimit(limit, value)
    signal.signal(signal.SIGXCPU, reached)
    signal.signal(signal.SIGALRM, reached)
    signal.setitimer(signal.ITIMER_REAL, job["wall_s"])
    threading.stack_size(1 << 20)


def _run(job: dict[str, Any], rules: Rules) -> dict[str, str]:
    space: dict[str, Any] = {"__name__": "generated"}
    part = "function"
    try:
        compiled = compile(job["code"], "generated.py", "exec")
        checks = compile(job["checks"], "checks.py", "exec")
        sys.addaudithook(rules)
        exec(compiled, space)
        part = "checks"
        exec(checks, space)
        said = {"status": "passed", "detail": ""}
    except BaseException as error:
        said = {"status": _status(error, part), "detail": _detail(error, job["checks"], part)}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return said


def _status(error: BaseException, part: str) -> str:
    if isinstance(error, LimitReached):
        return str(error)
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, Forbidden):
        return "forbidden"
    if isinstance(error, OSError) and error.errno == 27:  # EFBIG
        return "file_size"
    return "failed" if isinstance(error, AssertionError) and part == "checks" else "error"


def _detail(error: BaseException, checks: str, part: str) -> str:
    lines = checks.splitlines()
    trace, where = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "checks.py" and trace.tb_lineno <= len(lines):
            where = f"at `{lines[trace.tb_lineno - 1].strip()}`"
        trace = trace.tb_next
    kind = f"{type(error).__name__}: {error}"[:200].rstrip(": ")
    return " ".join(filter(None, (kind, where or f"in the {part}")))


if __name__ == "__main__":
    main()
