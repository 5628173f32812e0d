"""Run generated code against the checks of its item, in a process with hard limits.

Limits of CPU time, memory, file size and wall time; a folder of its own that is removed. Where
Linux namespaces can be made there is no network, no process outlives the run, and all other files
are read-only; where not, the result says so. An audit hook refuses writing elsewhere and starting
programs in any case. This protects the machine from the mistakes of a model; code that means harm
needs a virtual machine.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from inferometer.quality.items import CodeItem
from inferometer.quality.parsing import parse_function
from inferometer.quality.scoring import Score, empty

HOST = Path(__file__).parents[1] / "hosts" / "quality_sandbox.py"
METRIC = "checks_passed"
KILL_AFTER_S = 2.0
NAMESPACES = ("--net", "--pid", "--mount", "--fork", "--kill-child")

CheckStatus = Literal[
    "passed", "failed", "error", "timeout", "cpu", "memory", "file_size", "forbidden", "ended"
]


@dataclass(frozen=True)
class Limits:
    """What one run may use."""

    cpu_s: int = 5
    wall_s: float = 10.0
    memory_bytes: int = 512 << 20
    file_bytes: int = 1 << 20


@dataclass(frozen=True)
class CheckResult:
    """How one run ended.

    Attributes
    ----------
    status
        `failed`: a check does not hold; `error`: an exception; `ended`: the process ended before
        its checks did, by itself or by a signal; the others name the limit or rule it met.
    denied
        What it tried and may not do, also where it passed nevertheless.
    files
        Names of the files that it left in its folder, at most 32.
    isolated
        Whether it ran without network, in namespaces of its own, and all other files read-only;
        None when the process ended before it could say so.
    """

    status: CheckStatus
    detail: str
    wall_s: float
    denied: tuple[str, ...]
    files: tuple[str, ...]
    isolated: bool | None


@cache
def namespaces() -> tuple[str, ...]:
    """The command that takes network and processes away; empty where this machine refuses it."""
    for who in (("--user", "--map-root-user"), ()):
        command = ("unshare", *who, *NAMESPACES)
        try:
            done = subprocess.run([*command, "true"], capture_output=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return command
    return ()


def run_checks(code: str, checks: str, limits: Limits | None = None) -> CheckResult:
    """Run `code`, then `checks` in the same name space. Whatever they do is a result, no error."""
    token = secrets.token_hex(16)
    job: dict[str, Any] = {"code": code, "checks": checks, "token": token}
    job |= {"namespaces": bool(namespaces()), **asdict(limits or Limits())}
    with tempfile.TemporaryDirectory(prefix="inferometer-code-") as folder:
        started = time.monotonic()
        said, ending = _run(json.dumps(job), Path(folder), job["wall_s"] + KILL_AFTER_S)
        wall_s = time.monotonic() - started
        files = sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())
    if said.get("token") != token:
        said = {"status": "timeout" if ending is None else "ended", "detail": _how(ending)}
    return CheckResult(
        status=said["status"],
        detail=said["detail"],
        wall_s=wall_s,
        denied=tuple(said.get("denied", ())),
        files=tuple(files[:32]),
        isolated=said.get("read_only"),
    )


def _run(job: str, folder: Path, limit_s: float) -> tuple[dict[str, Any], int | None]:
    """The verdict (empty without one), and the exit status (None when it had to be killed)."""
    reading, writing = os.pipe()
    command = [*namespaces(), sys.executable, "-I", "-S", "-B", str(HOST), str(writing)]
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(folder)}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=environment,
            pass_fds=(writing,),
            start_new_session=True,
        )
    finally:
        os.close(writing)
    ending: int | None = None
    try:
        process.communicate(job.encode(), timeout=limit_s)
        ending = process.returncode
    except subprocess.TimeoutExpired:
        pass
    finally:
        # what it started and left behind goes with it
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return _verdict(reading), ending


def _verdict(reading: int) -> dict[str, Any]:
    os.set_blocking(reading, False)
    with open(reading, "rb") as pipe:
        try:
            said = json.loads(pipe.read(1 << 16) or b"{}")
        except ValueError:
            return {}
    return said if isinstance(said, dict) else {}


def _how(ending: int | None) -> str:
    if ending is None:
        return "it did not end and was killed"
    if ending < 0 or ending > 128:
        number = -ending if ending < 0 else ending - 128
        return f"the process was ended by signal {number}"
    return f"the process ended with code {ending} before its checks did"


def score_code(answer: str, item: CodeItem, limits: Limits | None = None) -> Score:
    """1 when the function in the answer passes the item's checks, else 0 with what happened."""
    parsed = parse_function(answer, item.signature, item.entry_point)
    if parsed.status == "empty":
        return empty(METRIC, 0.0)
    if parsed.value is None:
        return Score(METRIC, 0.0, "invalid", parsed.reason)
    result = run_checks(parsed.value, item.checks, limits)
    if result.status == "passed":
        return Score(METRIC, 1.0)
    return Score(METRIC, 0.0, "ok", f"{result.status}: {result.detail}")
