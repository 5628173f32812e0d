"""Memory of the worker: how much is in use, the peak of one phase, and a limit on all of it.

On a CPU it is the resident set of the process, whose high-water mark the kernel lets us reset; on
a GPU it is what torch's allocator has handed out. Both are in bytes.
"""

import ctypes
import gc
import os
import resource
import sys
from pathlib import Path

from memory_cap import Unavailable, limit_bytes

MIB = 2**20
STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What resets VmHWM to the present resident set; see proc(5)."""
NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "Cannot allocate memory",
    "could not create a memory",
)
"""How torch, its libraries and the system say that an allocation failed."""


def set_limit(mib: int | None) -> None:
    """Limit what this process may allocate (RLIMIT_DATA); later allocations beyond it fail."""
    if mib is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (mib * MIB, mib * MIB))


def limit_mib() -> int | None:
    """The limit in force, or `None` without one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if soft == resource.RLIM_INFINITY else soft // MIB


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError | OSError) and any(
        words in str(error) for words in NO_MEMORY
    )


class HostMemory:
    """Resident memory of this process. Where the peak cannot be reset, it is `None`, with why."""

    source: str | None = "VmHWM"
    why_not: str | None = None

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        try:
            CLEAR_REFS.write_text(RESET_PEAK)
        except OSError as error:
            self.source = None
            self.why_not = f"the peak of the resident set cannot be reset: {error.strerror}"

    def begin(self) -> int | None:
        """Give free memory back to the kernel, start a new peak; returns the bytes in use."""
        self.release()
        if self.source:
            CLEAR_REFS.write_text(RESET_PEAK)
        return _status("VmRSS")

    def peak(self) -> int | None:
        """The highest resident set since `begin`."""
        return _status("VmHWM") if self.source else None

    def release(self) -> None:
        """Collect garbage and hand freed pages back, so that no phase inherits another's."""
        gc.collect()
        if hasattr(self._libc, "malloc_trim"):
            self._libc.malloc_trim(0)

    def capacity(self) -> int | None:
        """The least of the machine's RAM, the control group's limit and our own."""
        limits = [_meminfo_total(), _group_limit(), (limit_mib() or 0) * MIB]
        return min((limit for limit in limits if limit), default=None)


class CudaMemory:
    """Memory of one GPU as torch's caching allocator counts it."""

    source: str | None = "torch.cuda.max_memory_allocated"
    why_not: str | None = None

    def __init__(self, device: object) -> None:
        import torch

        self._cuda, self._device = torch.cuda, device

    def begin(self) -> int | None:
        """Empty the allocator's cache, start a new peak; returns the bytes in use."""
        self.release()
        self._cuda.reset_peak_memory_stats(self._device)
        return self._cuda.memory_allocated(self._device)

    def peak(self) -> int | None:
        """The most bytes allocated at once since `begin`."""
        return self._cuda.max_memory_allocated(self._device)

    def release(self) -> None:
        """Collect garbage and return cached blocks to the driver."""
        gc.collect()
        self._cuda.synchronize(self._device)
        self._cuda.empty_cache()

    def capacity(self) -> int | None:
        """The memory of the device."""
        return self._cuda.get_device_properties(self._device).total_memory


def _status(key: str) -> int | None:
    if not STATUS.exists():
        return None
    for line in STATUS.read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return None


def _meminfo_total() -> int | None:
    path = Path("/proc/meminfo")
    return int(path.read_text().split()[1]) * 1024 if path.exists() else None


def _group_limit() -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return limit_bytes(os.getpid())
    except (Unavailable, OSError):
        return None
