"""Run a host in an environment of its own: one job in, one answer out."""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inferometer.errors import UserError

HOSTS = Path(__file__).parents[1] / "hosts"
GUARD = HOSTS / "guard.py"
Progress = Callable[[int, int], None]
OnResult = Callable[[dict[str, Any]], None]


def run_host(
    python: Path,
    host: str,
    job: dict[str, Any],
    *,
    limit_s: float = 3600.0,
    on_progress: Progress | None = None,
    on_result: OnResult | None = None,
) -> dict[str, Any]:
    """The answer of `hosts/<host>.py`, run by `python` with a job; it dies with this process.

    `on_progress` takes what is done and of how many, `on_result` each result that a host gives
    before its answer. Raises `UserError` with the host's last line
    when it fails, or when it takes longer than `limit_s`.
    """
    with tempfile.TemporaryDirectory(prefix="inferometer-host-") as folder:
        asked, answered = Path(folder, "job.json"), Path(folder, "answer.json")
        asked.write_text(json.dumps(job))
        command = [sys.executable, str(GUARD), str(python), str(HOSTS / f"{host}.py")]
        command += [str(asked), str(answered)]
        with Path(folder, "complaints").open("w+b") as complaints:
            code, late = _run(command, complaints, limit_s, on_progress, on_result)
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").replace("\r", "\n").split("\n")
        if late:
            raise UserError(f"{host}: took longer than {limit_s:g} s")
        if code or not answered.is_file():
            lines = [line for line in said if line.strip()]
            raise UserError(f"{host}: {lines[-1] if lines else f'ended with code {code}'}")
        return json.loads(answered.read_text())


def _run(
    command: list[str],
    complaints: Any,
    limit_s: float,
    on_progress: Progress | None,
    on_result: OnResult | None,
) -> tuple[int, bool]:
    late = threading.Event()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None

        def end(pipe: Any = process.stdin) -> None:
            late.set()
            pipe.close()  # the guard kills all that it started

        timer = threading.Timer(limit_s, end)
        timer.start()
        try:
            for line in process.stdout:
                if on_progress and line.startswith(b'{"done"'):
                    said = json.loads(line)
                    on_progress(said["done"], said["of"])
                elif on_result and line.startswith(b'{"result"'):
                    on_result(json.loads(line))
            code = process.wait()
        finally:
            timer.cancel()
    return code, late.is_set()
