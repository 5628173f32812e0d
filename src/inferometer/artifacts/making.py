"""Make an artifact in the environment of a stack: whole, or not at all."""

import fcntl
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from inferometer import environments
from inferometer.artifacts import folder
from inferometer.artifacts.catalog import Catalog, Made, QuantizedSource, SyntheticSource
from inferometer.artifacts.recipe import HOST, maker, needs, recipe, required
from inferometer.errors import UserError

GUARD = HOST.with_name("guard.py")
SAY_EVERY_S = 10.0


@contextmanager
def drafting(name: str, target: Path) -> Iterator[Path | None]:
    """An empty folder to make `target` in; it becomes `target` when the block ends well.

    One process makes an artifact at a time, the others wait: they get `None` when it is there.
    What a killed process left is removed by the next one.
    """
    draft = target.with_name(f".{target.name}.making")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f".{target.name}.lock").open("w") as lock:
            _wait_for(name, lock.fileno())
            if target.exists():
                yield None
                return
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            try:
                yield draft
                draft.rename(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"artifact {name}: cannot write under {target.parent} ({error.strerror}); "
            f"free space, or set {folder.CACHE_VARIABLE} to a folder that takes it"
        ) from error


def _wait_for(name: str, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"artifact {name}: another process makes it; waiting", file=sys.stderr, flush=True)
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def make(
    name: str, catalog: Catalog, root: Path | None, target: Path, original: Path | None
) -> None:
    """Synthesize, convert or quantize an artifact into the folder `target`.

    `original` is the GGUF file of a conversion. Raises `UserError` when disk or memory do not
    suffice, before anything is written, or when the making fails.
    """
    source = catalog.artifact(name).source
    assert isinstance(source, Made)
    made_of = recipe(name, catalog, root)
    enough(name, target.parent, *needs(name, catalog))
    stack, host = maker(source)
    environment = environments.ensure(required(root, name), stack)
    job: dict[str, Any] = {"kind": source.kind, "shard_bytes": made_of["shard_bytes"]}
    if isinstance(source, QuantizedSource):
        job["level"] = source.level
    else:
        job["dtype"] = source.dtype
    if isinstance(source, SyntheticSource):
        job |= {"seed": source.seed, "config": made_of["architecture"], "params": made_of["params"]}
    else:
        job["gguf"] = str(original)
    with drafting(name, target) as draft:
        if draft is None:
            return
        started = time.monotonic()
        peak = run(name, environment.python, {**job, "folder": str(draft)}, host)
        facts = {"made_s": round(time.monotonic() - started, 2), "peak_memory_bytes": peak}
        folder.seal(draft, made_of, {**facts, "packages": environment.freeze})


def enough(name: str, place: Path, disk_bytes: int, memory_bytes: int) -> None:
    """Raise `UserError` when the disk at `place` or this machine's memory is too small."""
    existing = next(path for path in [place, *place.absolute().parents] if path.exists())
    free = shutil.disk_usage(existing).free
    available = psutil.virtual_memory().available
    short = []
    if free < disk_bytes:
        short.append(
            f"needs {disk_bytes / 1e9:.1f} GB on disk, {existing} has {free / 1e9:.1f} GB free: "
            f"free some, or set {folder.CACHE_VARIABLE} elsewhere"
        )
    if available < memory_bytes:
        short.append(
            f"needs {memory_bytes / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are available: "
            "close programs, or choose a smaller model"
        )
    if short:
        raise UserError(f"artifact {name}: " + "; ".join(short))


def run(name: str, python: Path, job: dict[str, Any], host: Path = HOST) -> int:
    """Run one job of a host; returns its peak memory in bytes.

    The host dies with this process: it runs under the guard of the servers.
    """
    command = [sys.executable, str(GUARD), str(python), str(host), json.dumps(job)]
    peak = 0
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
        ) as process:
            assert process.stdout is not None
            with shown(f"artifact {name}: making") as show:
                for line in process.stdout:
                    said = json.loads(line)
                    peak = said.get("peak_bytes", peak)
                    if "of" in said:
                        show(said["done"], said["of"])
        complaints.seek(0)
        text = complaints.read().decode(errors="replace").replace("\r", "\n").strip()
    if process.returncode:
        last = text.splitlines()[-1] if text else f"exit status {process.returncode}"
        if process.returncode == 128 + 9:
            last = "it was killed, as the kernel does when memory runs out"
        raise UserError(f"artifact {name}: could not be made or fetched: {last}")
    return peak


@contextmanager
def shown(title: str) -> Iterator[Any]:
    """A bar with the time left on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        columns = [TextColumn("{task.description}"), BarColumn(24), TimeRemainingColumn()]
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, of: bar.update(task, completed=done, total=of)
        return
    started = said = time.monotonic()

    def show(done: int, of: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= SAY_EVERY_S and done:
            said = now
            left = (now - started) * (of - done) / done
            print(f"{title} · {done / of:.0%} · {left:.0f} s left", file=sys.stderr, flush=True)

    yield show
