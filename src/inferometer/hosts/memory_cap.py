"""Run a command under a hard memory limit: `python memory_cap.py LIMIT_MIB FILE... -- COMMAND`.

Standard library only. The limit is that of a Linux memory cgroup (version 1 or 2) of its own, and
it covers what the command allocates and the pages of the files it maps. The pages of each FILE are
dropped from the page cache first, because a page is charged to whoever reads it first. Swap is not
allowed to the group. It is removed when the command ends; groups of dead runs are removed as well.
"""

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

NAME = "inferometer-cap-"
MIB = 2**20
PR_SET_PDEATHSIG = 1
GRACE_S = 2.0
LIMIT_FILE = {1: "memory.limit_in_bytes", 2: "memory.max"}
SWAP_FILE = {1: "memory.memsw.limit_in_bytes", 2: "memory.swap.max"}
EVENTS_FILE = {1: "memory.oom_control", 2: "memory.events"}


class Unavailable(Exception):
    """No capped group can be made here; the message is the reason."""


@dataclass(frozen=True)
class Hierarchy:
    """Where memory cgroups are mounted; `root` is the group that the mount shows as its top."""

    version: int
    mount: Path
    root: str

    def group_of(self, pid: int | str) -> Path:
        """The folder of a process's group."""
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if (self.version == 2 and not controllers) or "memory" in controllers.split(","):
                inside = PurePosixPath(path)
                if inside.is_relative_to(self.root):
                    return self.mount / inside.relative_to(self.root)
        raise Unavailable("the memory cgroup of this process is not under a mounted folder")

    def lineage(self, group: Path) -> list[Path]:
        """The group and those above it, as far as the mount shows them."""
        return [group, *(above for above in group.parents if above.is_relative_to(self.mount))]

    def limits(self, group: Path) -> list[int]:
        """The limits of a group and of those above it, in bytes; empty without any.

        Version 1 says "no limit" with a number near 2**63.
        """
        found = []
        for each in self.lineage(group):
            with suppress(FileNotFoundError):  # the top group of version 2 has no such file
                text = (each / LIMIT_FILE[self.version]).read_text().strip()
                if text != "max" and int(text) < 2**60:
                    found.append(int(text))
        return found


def hierarchy() -> Hierarchy:
    """The mounted hierarchy that has the memory controller; raises `Unavailable` without one."""
    if not Path("/proc/self/mountinfo").is_file():
        raise Unavailable("a memory limit needs Linux control groups")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        first, _, last = line.partition(" - ")
        root, mount = first.split()[3:5]
        kind, _, options = last.split(maxsplit=2)
        if kind == "cgroup" and "memory" in options.split(","):
            return Hierarchy(1, Path(mount), root)
        if kind == "cgroup2":
            controllers = Path(mount, "cgroup.controllers").read_text().split()
            if "memory" in controllers:
                return Hierarchy(2, Path(mount), root)
    raise Unavailable("no control group hierarchy with the memory controller is mounted")


def limit_bytes(pid: int) -> int | None:
    """The memory limit in force for a process, in bytes; `None` without one.

    It is the least of its group's and those of the groups above.
    """
    tree = hierarchy()
    return min(tree.limits(tree.group_of(pid)), default=None)


def unavailable(limit_mib: int) -> str | None:
    """Why no such capped group can be made here, or `None` if one can: it makes and removes one."""
    try:
        with capped_group(limit_mib * MIB) as (tree, group):
            limits = tree.limits(group)
            if min(limits) < limit_mib * MIB:
                return f"a group above this process is limited to {min(limits) / MIB:.0f} MiB"
            return None
    except Unavailable as reason:
        return str(reason)


@contextmanager
def capped_group(limit: int) -> Iterator[tuple[Hierarchy, Path]]:
    """Make this process's capped group with a limit in bytes; remove it, and all in it, after."""
    tree = hierarchy()
    _remove_stale(tree)
    group = _parent(tree) / f"{NAME}{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise Unavailable(f"no memory control group can be made: {error.strerror}") from error
    try:
        _limit(tree, group, limit)
        yield tree, group
    finally:
        _remove(group)


def _parent(tree: Hierarchy) -> Path:
    """The nearest group from ours upwards below which groups may have memory limits."""
    own = tree.group_of("self")
    if tree.version == 1:
        return own
    for group in tree.lineage(own):
        if "memory" in (group / "cgroup.subtree_control").read_text().split():
            return group
    raise Unavailable("no group above this process passes the memory controller on")


def _limit(tree: Hierarchy, group: Path, limit: int) -> None:
    try:
        (group / LIMIT_FILE[tree.version]).write_text(str(limit))
        swap = group / SWAP_FILE[tree.version]
        if swap.exists():
            swap.write_text(str(limit if tree.version == 1 else 0))
        elif len(Path("/proc/swaps").read_text().splitlines()) > 1:
            raise Unavailable("this kernel cannot forbid swap to a group, and swap is on")
    except OSError as error:
        raise Unavailable(f"no memory limit can be set: {error.strerror}") from error


def _remove_stale(tree: Hierarchy) -> None:
    """Remove groups of ours whose owner is dead (or had our process id)."""
    for group in list(tree.mount.rglob(f"{NAME}*")):
        owner = group.name.removeprefix(NAME)
        if group.is_dir() and (owner == str(os.getpid()) or not Path("/proc", owner).exists()):
            _remove(group)


def _remove(group: Path) -> None:
    """End what is left in the group, then remove it; the kernel needs a moment in between."""
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline:
        try:
            group.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            with suppress(OSError):
                for pid in map(int, (group / "cgroup.procs").read_text().split()):
                    if pid > 0:  # 0 stands for a process that we cannot see
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def drop_pages(file: Path) -> int:
    """Drop a file's pages from the page cache; returns how many bytes stayed there."""
    with file.open("rb") as content:
        os.fsync(content.fileno())  # a page not yet written cannot be dropped
        os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return _cached_bytes(content.fileno())


def _cached_bytes(descriptor: int) -> int:
    size = os.fstat(descriptor).st_size
    if not size:
        return 0
    with mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(mapped)
        failed = ctypes.CDLL(None).mincore(
            ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), pages
        )
        del start  # the map cannot be closed while it is referred to
    if failed:
        raise Unavailable("the kernel does not say which pages of the model are in memory")
    return sum(page & 1 for page in pages) * mmap.PAGESIZE


def _run(tree: Hierarchy, group: Path, command: list[str]) -> int:
    def join() -> None:
        (group / "cgroup.procs").write_text("0")
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    server = subprocess.Popen(command, preexec_fn=join)
    try:
        code = server.wait()
    except SystemExit:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_S)
        raise
    events = (group / EVENTS_FILE[tree.version]).read_text().split()
    if "oom_kill" in events and int(events[events.index("oom_kill") + 1]):
        print("memory_cap: the kernel killed the command at its memory limit", file=sys.stderr)
    return code if code >= 0 else 128 - code


def _stop(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not break the tidying up
    sys.exit(128 + signal.SIGTERM)


def main() -> int:
    """Make the group, drop the files' pages, run the command in the group."""
    signal.signal(signal.SIGTERM, _stop)
    split = sys.argv.index("--")
    limit_mib, *files = sys.argv[1:split]
    try:
        with capped_group(int(limit_mib) * MIB) as (tree, group):
            for file in files:
                if kept := drop_pages(Path(file)):
                    raise Unavailable(
                        f"{kept / MIB:.0f} MiB of {Path(file).name} stay in memory, outside the "
                        "limit: another process maps the file, or its file system is in memory"
                    )
            return _run(tree, group, sys.argv[split + 1 :])
    except Unavailable as reason:
        print(f"memory_cap: {reason}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
