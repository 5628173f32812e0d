"""Nsight Systems: find it, run a program under it, and turn its report into an SQLite export."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inferometer.errors import NotTestableHere, UserError

FORBIDDEN = re.compile(
    r"permission denied|not permitted|insufficient privilege|ERR_NVGPUCTRPERM", re.IGNORECASE
)
IMPORT_LIMIT_S = 600.0


@dataclass(frozen=True)
class Installation:
    """An nsys that answers, its version, and its importer where it lies beside it."""

    nsys: Path
    importer: Path | None
    version: str


@dataclass(frozen=True)
class Capture:
    """When nsys records: inside an NVTX range of any domain, or between profiler API calls.

    `nvtx_range` None stands for ``cudaProfilerStart`` and ``cudaProfilerStop``, which need CUDA.
    """

    nvtx_range: str | None

    def options(self) -> list[str]:
        """The command-line options; the program goes on when its capture ends."""
        if self.nvtx_range is None:
            return ["--capture-range=cudaProfilerApi", "--capture-range-end=stop"]
        return [
            "--capture-range=nvtx",
            f"--nvtx-capture={self.nvtx_range}@*",
            # else only strings registered with NVTX open a capture, and torch registers none
            "--env-var=NSYS_NVTX_PROFILER_REGISTER_ONLY=0",
            "--capture-range-end=stop",
        ]


def find() -> Installation:
    """The nsys of this machine.

    Raises `NotTestableHere` where there is none, or it does not run.
    """
    found = shutil.which("nsys")
    if found is None:
        raise NotTestableHere("nsys is not installed (Debian: nsight-systems, section non-free)")
    try:
        answer = _call([found, "--version"], limit_s=30)
    except UserError as error:
        raise NotTestableHere(f"nsys does not run here: {error}") from error
    version = re.search(r"version (\S+)", answer.stdout)
    if answer.returncode or version is None:
        raise NotTestableHere(f"nsys does not run here: {_tail(answer)}")
    return Installation(Path(found), _importer(Path(found)), version[1])


def _importer(nsys: Path) -> Path | None:
    """The importer: in a folder named after the host, beside nsys or above it."""
    for folder in (*nsys.resolve().parents[:3], Path("/usr/lib/nsight-systems")):
        for path in sorted(folder.glob("host-linux-*/QdstrmImporter")):
            return path
    return None


def profile_command(
    installation: Installation,
    program: Sequence[str],
    output: Path,
    capture: Capture,
    trace: Sequence[str] = ("cuda", "nvtx", "osrt"),
) -> list[str]:
    """Command line that runs `program` and records into `output` (a path without suffix).

    CUDA graphs are traced node by node: as a whole their kernels would be missing. CPU sampling
    is off: it is not used, and without permission for it nsys waits for ever.
    """
    graphs = ["--cuda-graph-trace=node"] if "cuda" in trace else []
    return [
        str(installation.nsys),
        "profile",
        f"--output={output}",
        "--force-overwrite=true",
        f"--trace={','.join(trace)}",
        *graphs,
        "--sample=none",
        "--cpuctxsw=none",
        *capture.options(),
        *program,
    ]


def profile(
    installation: Installation,
    program: Sequence[str],
    output: Path,
    capture: Capture,
    *,
    trace: Sequence[str] = ("cuda", "nvtx", "osrt"),
    limit_s: float,
) -> Path:
    """Run `program` under nsys to its end; the SQLite export of what the capture held.

    Raises
    ------
    NotTestableHere
        nsys says that it is not permitted to record.
    UserError
        The program failed, took longer than `limit_s`, the capture never opened, or the import
        failed.
    """
    for suffix in (".nsys-rep", ".qdstrm", ".sqlite"):
        output.with_suffix(suffix).unlink(missing_ok=True)
    done = _call(profile_command(installation, program, output, capture, trace), limit_s)
    if FORBIDDEN.search(done.stdout + done.stderr):
        raise NotTestableHere(f"nsys may not record here: {_tail(done)}")
    if done.returncode:
        raise UserError(f"{program[0]} under nsys ended with {done.returncode}: {_tail(done)}")
    return export(installation, report(installation, output))


def report(installation: Installation, output: Path) -> Path:
    """The `.nsys-rep` of a run, imported from its `.qdstrm` where nsys could not do so itself."""
    finished, stream = output.with_suffix(".nsys-rep"), output.with_suffix(".qdstrm")
    if finished.exists():
        return finished
    if not stream.exists():
        raise UserError(
            f"{output}: nsys recorded nothing; the capture range never opened. Does the program "
            "open it, with an NVTX that this nsys understands (nvtx 0.2.11 for nsys 2022.4)?"
        )
    if installation.importer is None:
        raise NotTestableHere(f"no QdstrmImporter beside {installation.nsys} to read {stream}")
    libraries = {"LD_LIBRARY_PATH": str(installation.importer.parent)}
    command = [str(installation.importer), "-i", str(stream), "-o", str(finished)]
    done = _call(command, IMPORT_LIMIT_S, libraries)
    if done.returncode or not finished.exists():
        raise UserError(f"{stream}: cannot be imported ({_tail(done)}); record it again")
    return finished


def export(installation: Installation, finished: Path) -> Path:
    """The SQLite export of a `.nsys-rep`, beside it."""
    target = finished.with_suffix(".sqlite")
    command = [str(installation.nsys), "export", "--type=sqlite", "--force-overwrite=true"]
    done = _call([*command, f"--output={target}", str(finished)], IMPORT_LIMIT_S)
    if done.returncode or not target.exists():
        raise UserError(f"{finished}: cannot be exported ({_tail(done)}); record it again")
    return target


def _call(
    command: Sequence[str], limit_s: float, extra: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a session of its own, and end all of that session when it takes too long."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=os.environ | (extra or {}),
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise UserError(
                f"{Path(command[0]).name} took longer than {limit_s:g} s; it was ended"
            ) from None
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _tail(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr + "\n" + done.stdout).replace("\r", "\n").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    return " / ".join(said[-3:]) or f"exit status {done.returncode}, without a word"
