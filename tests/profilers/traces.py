"""Hand-made traces of a GPU with known answers, in the formats of both collectors.

They stand in for a machine with a GPU. The table layouts are those that nsys 2022.4 writes with
``nsys export --lazy=false``; the events are laid out as Kineto writes them.
"""

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

PROCESS, THREAD = 900, 901
OWNER = PROCESS << 24
GEMM, FLASH, ODD = "cutlass_gemm_bf16", "flash_fwd_kernel", "mystery<1>"

LAUNCHES = [
    # start, end, correlation, name
    (10, 12, 1, "cudaLaunchKernel"),
    (110, 112, 2, "cudaLaunchKernel"),
    (120, 122, 3, "cudaMemcpyAsync"),
    (210, 212, 4, "cudaGraphLaunch"),
]
KERNELS = [
    # start, end, stream, correlation, name, graph node; out of order and overlapping on purpose
    (150, 250, 13, 2, FLASH, None),
    (100, 200, 7, 1, GEMM, None),
    (300, 340, 7, 4, ODD, 5),
    (340, 340, 7, 4, GEMM, 6),
]
COPIES = [(260, 270, 7, 3, 4096)]
PHASES = [(0, 100, "phase/prefill"), (105, 400, "phase/decode"), (205, 300, "request/4")]
"""The GEMM runs while decode is open, but was launched in prefill."""

SCHEMA = """
create table EXPORT_META_DATA (name text, value text);
create table StringIds (id integer primary key, value text);
create table ENUM_CUDA_MEMCPY_OPER (id integer, name text, label text);
create table CUPTI_ACTIVITY_KIND_KERNEL (start integer, end integer, deviceId integer,
  contextId integer, streamId integer, correlationId integer, globalPid integer,
  demangledName integer, shortName integer, graphNodeId integer);
create table CUPTI_ACTIVITY_KIND_MEMCPY (start integer, end integer, deviceId integer,
  contextId integer, streamId integer, correlationId integer, globalPid integer, bytes integer,
  copyKind integer, graphNodeId integer);
create table CUPTI_ACTIVITY_KIND_RUNTIME (start integer, end integer, eventClass integer,
  globalTid integer, correlationId integer, nameId integer, returnValue integer);
create table NVTX_EVENTS (start integer, end integer, eventType integer, text text,
  globalTid integer, textId integer, domainId integer);
"""


def nsys(path: Path, *statements: str, version: str | None = "3.0.0") -> Path:
    """An export of the trace above; `statements` change it afterwards."""
    texts = [GEMM, FLASH, ODD, *sorted({launch[3] for launch in LAUNCHES})]
    ids = {text: number for number, text in enumerate(texts)}
    with closing(sqlite3.connect(path)) as base:
        base.executescript(SCHEMA)
        if version:
            base.execute(
                "insert into EXPORT_META_DATA values ('EXPORT_SCHEMA_VERSION', ?)", (version,)
            )
        base.executemany("insert into StringIds values (?, ?)", [(i, t) for t, i in ids.items()])
        base.execute("insert into ENUM_CUDA_MEMCPY_OPER values (1, 'HTOD', 'Host-to-Device')")
        base.executemany(
            "insert into CUPTI_ACTIVITY_KIND_KERNEL values (?,?,0,1,?,?,?,?,0,?)",
            [(s, e, lane, c, OWNER, ids[n], node) for s, e, lane, c, n, node in KERNELS],
        )
        base.executemany(
            "insert into CUPTI_ACTIVITY_KIND_MEMCPY values (?,?,0,1,?,?,?,?,1,null)",
            [(s, e, lane, c, OWNER, size) for s, e, lane, c, size in COPIES],
        )
        base.executemany(
            "insert into CUPTI_ACTIVITY_KIND_RUNTIME values (?,?,0,?,?,?,0)",
            [(s, e, OWNER + THREAD, c, ids[n]) for s, e, c, n in LAUNCHES],
        )
        base.executemany(
            "insert into NVTX_EVENTS values (?,?,59,?,?,null,0)",
            [(s, e, text, OWNER + THREAD) for s, e, text in PHASES],
        )
        for statement in statements:
            base.execute(statement)
        base.commit()
    return path


def event(cat: str, name: str, start: int, end: int, tid: int = THREAD, **args: Any) -> dict:
    """One complete event; nanoseconds in, microseconds out."""
    pid = 0 if cat in ("kernel", "gpu_memcpy", "gpu_memset") else PROCESS
    times = {"ts": start / 1000, "dur": (end - start) / 1000}
    return {"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, **times, "args": args}


def events() -> list[dict]:
    """The trace above as Kineto events."""
    found = [
        event("kernel", name, s, e, lane, device=0, context=1, stream=lane, correlation=c,
              **({"graph node id": node} if node else {}))
        for s, e, lane, c, name, node in KERNELS
    ]  # fmt: skip
    found += [
        event("gpu_memcpy", "Memcpy HtoD", s, e, lane, device=0, context=1, stream=lane,
              correlation=c, bytes=size)
        for s, e, lane, c, size in COPIES
    ]  # fmt: skip
    found += [event("cuda_runtime", n, s, e, correlation=c) for s, e, c, n in LAUNCHES]
    found += [event("user_annotation", text, s, e) for s, e, text in PHASES]
    return found


def kineto(path: Path, content: list[dict] | None = None, **container: Any) -> Path:
    """A trace file, compressed when its name says so."""
    found = events() if content is None else content
    spans = {"ph": "X", "cat": "Trace", "name": "PyTorch Profiler (0)", "pid": "Spans",
             "tid": "PyTorch Profiler", "ts": 0, "dur": 1, "args": {"Op count": 0}}  # fmt: skip
    whole = {"schemaVersion": 1, "traceEvents": [*found, spans], **container}
    text = json.dumps(whole, indent=1).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path
