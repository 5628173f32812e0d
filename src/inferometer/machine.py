"""The machine: a stable identity that names its results, and readings that change by the second.

`Identity` holds what changes results and stays put; its digest makes the machine id.
`software` is a second group (kernel, libraries, power policy): recorded and compared, but not
part of the id. `readings` are volatile and go into each manifest.
"""

import argparse
import json
import math
import os
import platform
import re
import time
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from inferometer import digests
from inferometer.meters import nvml
from inferometer.meters.base import MeterAbsent

NOTABLE_ISA = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512vl"),
    *("avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2"),
)
"""Instruction sets that inference kernels choose between."""
CPU_WORDS = {
    "intel",
    "amd",
    "cpu",
    "processor",
    "with",
    "radeon",
    "graphics",
    "core",
    "core-processor",
}
GPU_WORDS = {"nvidia", "geforce", "tesla", "gpu"}


@dataclass(frozen=True)
class Gpu:
    """One GPU as NVML reports it; memory in MiB, power limit in watts."""

    model: str
    memory_mib: int
    driver: str
    cuda: str
    power_limit_w: float | None


@dataclass(frozen=True)
class Identity:
    """What changes results and is stable. RAM is rounded up to the next even GiB."""

    cpu_model: str
    cpu_family: str
    cores: int
    threads: int
    cpu_quota: float | None
    isa: tuple[str, ...]
    caches: dict[str, str]
    ram_gib: int
    numa_nodes: int
    gpus: tuple[Gpu, ...]


def identity() -> Identity:
    """Take the fingerprint of this machine; about 10 ms without a GPU."""
    info = _cpuinfo()
    family = "/".join(info.get(key, "?") for key in ("cpu family", "model", "stepping"))
    flags = set((info.get("flags") or info.get("Features") or "").split())
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Identity(
        cpu_model=re.sub(r"\s+", " ", info.get("model name", platform.machine())).strip(),
        cpu_family=family,
        cores=min(psutil.cpu_count(logical=False) or threads or 1, threads or 1),
        threads=threads or 1,
        cpu_quota=_cpu_quota(),
        isa=tuple(name for name in NOTABLE_ISA if name in flags),
        caches=_caches(),
        ram_gib=math.ceil(psutil.virtual_memory().total / 2**31) * 2,
        numa_nodes=max(1, len(list(Path("/sys/devices/system/node").glob("node[0-9]*")))),
        gpus=_gpus(),
    )


def machine_id(found: Identity) -> str:
    """Readable id with a digest of the identity, such as `epyc-2c-24g-5e1d9a`."""
    names = [_short(found.gpus[0].model, GPU_WORDS)] if found.gpus else []
    if len(found.gpus) > 1:
        names[0] = f"{len(found.gpus)}x{names[0]}"
    names = names or [_short(found.cpu_model, CPU_WORDS)]
    digest = digests.of_data(asdict(found))[:6]
    return "-".join([*names, f"{found.cores}c", f"{found.ram_gib}g", digest])


@cache
def current_id() -> str:
    """The id of the machine that this process runs on."""
    return machine_id(identity())


def software() -> dict[str, Any]:
    """Kernel, microcode, power policy, container and our own libraries: compared, not identity."""
    return {
        "kernel": platform.release(),
        "os": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
        if Path("/etc/os-release").exists()
        else platform.platform(),
        "libc": " ".join(platform.libc_ver()),
        "microcode": _cpuinfo().get("microcode", "unknown"),
        "hypervisor": "hypervisor" in (_cpuinfo().get("flags") or "").split(),
        "container": _container(),
        "power_policy": _power_policy(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("inferometer", "aiohttp", "snakemake")},
    }


def readings() -> dict[str, Any]:
    """Volatile readings: clocks, temperatures, throttle reasons, load, steal, free memory.

    A reading that the machine does not offer is `None`, never 0.
    """
    times = psutil.cpu_times()
    clocks = psutil.cpu_freq()
    sensors: dict[str, list[Any]] = getattr(psutil, "sensors_temperatures", dict)()
    temperatures = {
        f"{chip}/{item.label or index}": item.current
        for chip, items in sensors.items()
        for index, item in enumerate(items)
    }
    return {
        "monotonic_s": time.monotonic(),
        "unix_s": time.time(),
        "cpu_mhz": clocks.current if clocks else None,
        "temperatures_c": temperatures or None,
        "load_average": list(os.getloadavg()),
        "steal_s": getattr(times, "steal", None),
        "memory_available_mib": psutil.virtual_memory().available // 2**20,
        **nvml.volatile(),
    }


def _short(model: str, noise: set[str]) -> str:
    """The telling words of a model name: `epyc-9654`, `rtx-4080-laptop`, `h200`."""
    plain = re.sub(
        r"\((r|tm)\)|@.*$|\b\d+-core\b|\b\d+th gen\b|\b[\d.]+ ?g[hb]z?\b", " ", model.lower()
    )
    words = [word for word in re.split(r"[^a-z0-9]+", plain) if word and word not in noise]
    return "-".join(words[:3]) or "cpu"


@cache
def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {"model name": platform.processor() or platform.machine()}
    pairs = (line.split(":", 1) for line in path.read_text().split("\n\n")[0].splitlines())
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


def _caches() -> dict[str, str]:
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind = _read(folder / "level"), _read(folder / "type")
        size = _read(folder / "size")
        if level and kind and size:
            found[f"L{level} {kind}"] = size
    return found


def _cpu_quota() -> float | None:
    """CPUs that the control group grants, or `None` without a limit."""
    if (v2 := _read(Path("/sys/fs/cgroup/cpu.max"))) and not v2.startswith("max"):
        quota, period = v2.split()
        return int(quota) / int(period)
    quota_v1 = _read(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))
    period_v1 = _read(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))
    if quota_v1 and period_v1 and int(quota_v1) > 0:
        return int(quota_v1) / int(period_v1)
    return None


def _container() -> str | None:
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    return os.environ.get("container")  # noqa: SIM112 (systemd spells it so)


def _power_policy() -> dict[str, str | None]:
    cpufreq = Path("/sys/devices/system/cpu/cpu0/cpufreq")
    return {
        "governor": _read(cpufreq / "scaling_governor"),
        "preference": _read(cpufreq / "energy_performance_preference"),
        "boost": _read(Path("/sys/devices/system/cpu/cpufreq/boost")),
    }


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpus() -> tuple[Gpu, ...]:
    try:
        driver_library = nvml.start()
    except MeterAbsent:
        return ()
    try:
        count = driver_library.nvmlDeviceGetCount()
        return tuple(_gpu(driver_library, index) for index in range(count))
    finally:
        driver_library.nvmlShutdown()


def _gpu(library: Any, index: int) -> Gpu:
    handle = library.nvmlDeviceGetHandleByIndex(index)
    cuda = library.nvmlSystemGetCudaDriverVersion_v2()
    try:
        limit = library.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
    except library.NVMLError:
        limit = None
    return Gpu(
        model=library.nvmlDeviceGetName(handle),
        memory_mib=library.nvmlDeviceGetMemoryInfo(handle).total // 2**20,
        driver=library.nvmlSystemGetDriverVersion(),
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}",
        power_limit_w=limit,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `inferometer machine`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_command(args: argparse.Namespace) -> int:
    """Print the fingerprint, the software group and the volatile readings."""
    found = identity()
    groups = {"identity": asdict(found), "software": software(), "readings": readings()}
    if args.json:
        print(json.dumps({"id": machine_id(found), **groups}, indent=1))
        return 0
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"[bold]{machine_id(found)}[/]", highlight=False)
    notes = {
        "identity": "part of the id: a change means another machine, and new measurements",
        "software": "recorded with each session and compared; not part of the id",
        "readings": "volatile; kept in each manifest before and after",
    }
    for name, content in groups.items():
        table = Table(title=f"{name}: {notes[name]}", title_justify="left", show_header=False)
        for key, value in content.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            table.add_row(key, "not available here" if shown in (None, "") else str(shown))
        console.print(table)
    return 0
