"""llama.cpp's own programs: those on PATH, or built once from its sources into the cache."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inferometer import digests
from inferometer.artifacts import folder, making
from inferometer.errors import NotTestableHere, UserError

ENVIRONMENT = "llamacpp-tools"
"""The environment that holds cmake and ninja."""
NAME = "llamacpp-tools"
SDIST = "llama-cpp-python==0.3.36"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
"""It carries the sources of llama.cpp."""
INSIDE = "vendor/llama.cpp"
PROGRAMS = ("llama-server", "llama-bench", "llama-batched-bench", "llama-perplexity")
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "GGML_NATIVE": "ON",  # for the instructions of this very processor
    "LLAMA_BUILD_NUMBER": "0",  # else that of whatever git repository lies around the cache
    "LLAMA_BUILD_COMMIT": SDIST.replace("==", "-"),
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
}
DISK_BYTES = 10**9
MEMORY_BYTES = 2 * 10**9
STEP = re.compile(r"^\[(\d+)/(\d+)\]")
"""How ninja counts."""
COMPLAINT = re.compile(r"\berror[: ]", re.IGNORECASE)
"""How compilers, cmake and linkers begin one."""


@dataclass(frozen=True)
class Tool:
    """A program that can be run: `version` is what it says of itself."""

    path: Path
    version: str
    origin: Literal["PATH", "built here"]


def why_not(name: str) -> str | None:
    """Why a program can neither be found nor built here; `None` when one of them can be."""
    if shutil.which(name):
        return None
    missing = [command for command in compilers() if shutil.which(command) is None]
    if not missing:
        return None
    return (
        f"{name} is not on PATH, and there is no compiler to build it ({' and '.join(missing)} "
        "missing): on Debian and Ubuntu install build-essential"
    )


def compilers() -> tuple[str, str]:
    """The C and the C++ compiler, as cmake chooses them."""
    return os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")


def recipe() -> dict[str, Any]:
    """Everything that decides the programs: sources, compiler, the processor's instructions."""
    target = [_said([compiler, "-march=native", "-Q", "--help=target"]) for compiler in compilers()]
    return {
        "sdist": SDIST,
        "sdist_sha256": SDIST_SHA256,
        "compilers": [_said([each, "--version"]).splitlines()[:1] for each in compilers()],
        "target": digests.of_data(target),
        "options": OPTIONS,
        "programs": PROGRAMS,
    }


def place() -> Path:
    """The folder of the cache where the programs of this machine's recipe lie, or would lie."""
    return folder.cache_folder() / "tools" / f"{NAME}-{digests.of_data(recipe())[:16]}"


def ready(name: str) -> Path | None:
    """The program on PATH, else the one built before; `None` when it would have to be built."""
    if found := shutil.which(name):
        return Path(found)
    if why_not(name):
        return None
    built = place() / name
    return built if built.is_file() else None


def tool(name: str, python: Path) -> Tool:
    """The program on PATH, else the built one; built where missing (8 minutes of one core).

    `python` is that of the environment `llamacpp-tools`. Raises `NotTestableHere` where there is
    no compiler, and `UserError` naming the log when the build fails.
    """
    if reason := why_not(name):
        raise NotTestableHere(reason)
    path = ready(name)
    if path is None:
        target = place()
        making.enough(NAME, target, DISK_BYTES, MEMORY_BYTES)
        with making.drafting(NAME, target) as draft:
            if draft is not None:
                started = time.monotonic()
                print(f"{NAME}: building {SDIST}'s llama.cpp", file=sys.stderr, flush=True)
                build(unpacked(draft), draft, python, PROGRAMS, target.with_suffix(".log"))
                folder.seal(draft, recipe(), {"made_s": round(time.monotonic() - started, 2)})
        path = target / name
    return Tool(path, _said([str(path), "--version"]).splitlines()[0], origin(name))


def origin(name: str) -> Literal["PATH", "built here"]:
    """Where a program comes from that is ready."""
    return "PATH" if shutil.which(name) else "built here"


def unpacked(draft: Path) -> Path:
    """The sources of llama.cpp, downloaded and verified, under the folder `draft`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary"]
    command += [":all:", "--disable-pip-version-check", "--dest", str(draft), SDIST]
    done = subprocess.run(command, capture_output=True, text=True)
    archives = sorted(draft.glob("*.tar.gz"))
    if done.returncode or len(archives) != 1:
        raise UserError(f"{NAME}: pip could not download {SDIST}: {done.stderr.strip()[-400:]}")
    if (seen := digests.of_file(archives[0])) != SDIST_SHA256:
        raise UserError(f"{NAME}: {SDIST} has sha256 {seen}, expected {SDIST_SHA256}")
    with tarfile.open(archives[0]) as archive:
        inside = [each for each in archive.getmembers() if f"/{INSIDE}/" in each.name]
        archive.extractall(draft, members=inside, filter="data")
    archives[0].unlink()
    return next(draft.glob("*/vendor")).parent / INSIDE


def build(sources: Path, draft: Path, python: Path, programs: Sequence[str], log: Path) -> None:
    """Build programs, and leave them and nothing else in `draft`; `log` keeps what was said."""
    made = draft / "build"
    tools = python.parent
    configure = [str(tools / "cmake"), "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}"]
    configure += ["-S", str(sources), "-B", str(made)]
    log.write_text("")
    _logged([*configure, *(f"-D{key}={value}" for key, value in OPTIONS.items())], log)
    cores = str(len(os.sched_getaffinity(0)))
    _logged([str(tools / "ninja"), "-j", cores, "-C", str(made), *programs], log)
    for name in programs:
        (made / "bin" / name).rename(draft / name)
    for left in draft.iterdir():
        if left.is_dir():
            shutil.rmtree(left)


def _logged(command: list[str], log: Path) -> None:
    """Run under the guard of the servers, so that the build ends with this process."""
    guarded = [sys.executable, str(making.GUARD), *command]
    with (
        log.open("a") as kept,
        subprocess.Popen(
            guarded,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
        making.shown(f"{NAME}: building") as show,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            kept.write(line)
            if step := STEP.match(line):
                show(int(step[1]), int(step[2]))
    if process.returncode:
        complaints = [line for line in log.read_text().splitlines() if COMPLAINT.search(line)]
        first = complaints[0].strip() if complaints else f"exit status {process.returncode}"
        raise UserError(f"{NAME}: the build failed ({first[:300]}); all of it is in {log}")


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip() or "unknown"
