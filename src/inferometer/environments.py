"""One virtual environment per stack: `envs/<stack>.txt` becomes `.envs/<stack>/`."""

import json
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from inferometer import digests
from inferometer.errors import UserError
from inferometer.manifest import write_atomically

MARKER = "environment.json"


@dataclass(frozen=True)
class Environment:
    """A made environment: its interpreter, what it was made from, what is inside."""

    stack: str
    python: Path
    lock_sha256: str
    freeze: list[str]
    python_version: str


def lock_file(root: Path, stack: str) -> Path:
    """The pinned requirements of a stack."""
    return root / "envs" / f"{stack}.txt"


def marker(root: Path, stack: str) -> Path:
    """The file that says that an environment is complete."""
    return root / ".envs" / stack / MARKER


def lock_digest(root: Path, stack: str) -> str:
    """Digest of the requirements alone: comments and blank lines do not count."""
    path = lock_file(root, stack)
    try:
        lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    except FileNotFoundError:
        raise UserError(f"{path}: missing; a stack has its pinned requirements there") from None
    return digests.of_data([line for line in lines if line])


def make(root: Path, stack: str, *, prefix: Path | None = None) -> Environment:
    """Make the environment of a stack from its pinned file; nothing is resolved (`--no-deps`).

    `prefix` is an environment that a package manager (conda) has made already: it is recorded
    instead of a new one. Raises `UserError` with pip's own complaint when a step fails.
    """
    digest = lock_digest(root, stack)
    folder = marker(root, stack).parent
    if prefix is None:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            venv.EnvBuilder(with_pip=True, symlinks=True).create(folder)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(
                f"{folder}: cannot make a virtual environment ({error}); on Debian and Ubuntu "
                "install python3-venv"
            ) from error
        python = folder / "bin" / "python"
        _run(stack, python, "install", "--no-deps", "-r", str(lock_file(root, stack)))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        python = prefix / "bin" / "python"
    freeze = _run(stack, python, "freeze", "--all").split("\n")
    made = {
        "stack": stack,
        "python": str(python.relative_to(root) if python.is_relative_to(root) else python),
        "lock_sha256": digest,
        "freeze": sorted(line for line in freeze if line),
        "python_version": sys.version.split()[0] if prefix is None else _version(python),
    }
    write_atomically(folder / MARKER, json.dumps(made, indent=1) + "\n")
    return load(root, stack)


def ensure(root: Path, stack: str) -> Environment:
    """The environment of a stack; made when it is missing or made from other requirements."""
    try:
        return load(root, stack)
    except UserError:
        print(f"environment {stack}: installing {lock_file(root, stack)}", file=sys.stderr)
        return make(root, stack)


def load(root: Path, stack: str) -> Environment:
    """A made environment; `UserError` when it is missing or made from other requirements."""
    path = marker(root, stack)
    mend = f"run `inferometer environment {stack}`"
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: the environment of {stack} is not made; {mend}") from None
    python = root / content["python"]
    if not python.exists():
        raise UserError(f"{python}: missing; {mend}")
    if content["lock_sha256"] != lock_digest(root, stack):
        raise UserError(
            f"{path}: made from other requirements than {lock_file(root, stack)}; {mend}"
        )
    return Environment(
        stack, python, content["lock_sha256"], content["freeze"], content["python_version"]
    )


def _run(stack: str, python: Path, *arguments: str) -> str:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise UserError(
            f"environment {stack}: pip {arguments[0]} failed: "
            f"{' '.join(errors) or done.stderr.strip()[-400:]}"
        )
    return done.stdout


def _version(python: Path) -> str:
    code = "import platform; print(platform.python_version())"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True).stdout.strip()
