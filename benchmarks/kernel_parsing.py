"""Time the way from a trace to its derived table: ``python benchmarks/kernel_parsing.py``.

Writes a made-up trace of kernels, each with its launch, in the real format of each collector
(not timed), then reads, derives and prints. Each collector runs in a process of its own, whose
peak memory is its own. Limits: 10 s and 2 GB for 1,000,000 kernels. Exit status 1 when passed.
"""

import argparse
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_S, LIMIT_BYTES = 10.0, 2e9
NAMES = [
    "void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_128x64_tn_align8>",
    "void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<64, 64, 256, 4>>",
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>>",
    "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps>>",
    "triton_red_fused_rms_norm_0",
    "void mystery<1>",
]
DEVICE = "start int, end int, deviceId int, contextId int, streamId int, correlationId int,"


def write_kineto(path: Path, kernels: int) -> None:
    """Kernels on four streams, some at the same time, as PyTorch writes them on a GPU."""
    with path.open("w") as file:
        file.write('{"schemaVersion": 1, "deviceProperties": [{"id": 0}], "traceEvents": [\n')
        for i in range(kernels):
            ts = 4385601389344.936 + i * 4
            file.write(
                f'  {{\n    "ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", '
                f'"pid": 900, "tid": 900,\n    "ts": {ts:.3f}, "dur": 2.113,\n    "args": {{\n'
                f'      "External id": {i},"cbid": 211, "correlation": {i + 1}\n    }}\n  }},\n'
                f'  {{\n    "ph": "X", "cat": "kernel", "name": "{NAMES[i % 6]}", "pid": 0, '
                f'"tid": {7 + i % 4},\n    "ts": {ts + 5:.3f}, "dur": 6.304,\n    "args": {{\n'
                f'      "External id": {i}, "queued": 0, "device": 0, "context": 1,\n      '
                f'"stream": {7 + i % 4}, "correlation": {i + 1},\n      "registers per thread": 32,'
                f'\n      "shared memory": 16,\n      "blocks per SM": 0.121212,\n      '
                f'"warps per SM": 0.242424,\n      "grid": [16, 1, 1],\n      "block": [64, 1, 1],'
                f'\n      "est. achieved occupancy %": 0\n    }}\n  }},\n'
            )
        file.write('  {"ph": "M", "name": "process_name", "pid": 0, "tid": 0, "ts": 0}\n]}\n')


def write_nsys(path: Path, kernels: int) -> None:
    """The same kernels in the tables of an nsys export, with the columns that are read."""
    with sqlite3.connect(path) as database:
        database.executescript(
            "create table EXPORT_META_DATA (name text, value text);"
            "insert into EXPORT_META_DATA values ('EXPORT_SCHEMA_VERSION', '3.0.0');"
            "create table StringIds (id integer primary key, value text);"
            "create table ENUM_CUDA_MEMCPY_OPER (id int, name text, label text);"
            f"create table CUPTI_ACTIVITY_KIND_KERNEL ({DEVICE} globalPid int, demangledName int,"
            " graphNodeId int);"
            "create table CUPTI_ACTIVITY_KIND_RUNTIME (start int, end int, globalTid int,"
            " correlationId int, nameId int);"
        )
        database.executemany(
            "insert into StringIds values (?, ?)",
            list(enumerate([*NAMES, "cudaLaunchKernel_v7000"])),
        )
        owner = 900 << 24
        database.executemany(
            "insert into CUPTI_ACTIVITY_KIND_KERNEL values (?,?,0,1,?,?,?,?,null)",
            (
                (i * 4000 + 5000, i * 4000 + 11304, 7 + i % 4, i + 1, owner, i % 6)
                for i in range(kernels)
            ),
        )
        database.executemany(
            "insert into CUPTI_ACTIVITY_KIND_RUNTIME values (?,?,?,?,6)",
            ((i * 4000, i * 4000 + 2113, owner + 900, i + 1) for i in range(kernels)),
        )
    database.close()


def read(collector: str, path: Path) -> int:
    """Read and derive one trace, print a row, and judge it."""
    from inferometer.profilers import derived, kineto, nsys_export

    begin = time.perf_counter()
    reader = kineto.read_trace if collector == "kineto" else nsys_export.read_sqlite
    table = reader(path, ("kernel", "runtime_call"))
    parsed = time.perf_counter()
    found = derived.derive(table, tokens=1000)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{collector:8} {path.stat().st_size / 1e6:6.0f} MB  rows {len(table.rows):9,}  "
        f"parse {parsed - begin:5.2f} s  derive {end - parsed:5.2f} s  total {end - begin:5.2f} s "
        f"(CPU {time.process_time():5.2f} s)  "
        f"peak {peak / 1e9:4.2f} GB  kernels/token {found.kernels_per_token:g}  "
        f"concurrency {found.max_concurrency}",
        flush=True,
    )
    return int(end - begin > LIMIT_S or peak > LIMIT_BYTES)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", type=int, default=1_000_000)
    parser.add_argument("--read", nargs=2, metavar=("COLLECTOR", "TRACE"))
    asked = parser.parse_args()
    if asked.read:
        return read(asked.read[0], Path(asked.read[1]))
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for collector, write in (("kineto", write_kineto), ("nsys", write_nsys)):
            path = Path(folder) / collector
            write(path, asked.kernels)
            command = [sys.executable, __file__, "--read", collector, str(path)]
            failed |= subprocess.run(command, check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
