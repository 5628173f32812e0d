"""A checkout of the project in a temporary folder, with a design small enough for a test."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
PARTS = ("Snakefile", "config", "envs", "experiments", "profiles", "workflow", ".gitignore")
LIMIT_S = 280.0
Value = TypeVar("Value")
TINY = {
    "blocks": 2,
    "phases": {
        "scaling": {"agents": [1, 2, 3], "think_ms": [0]},
        "think": {"agents": [2], "think_ms": [50]},
    },
    "effort": {
        "quota": 2,
        "min_s": 0.3,
        "prompt_tokens": 8,
        "output_tokens": 8,
        "deadline_s": 20,
    },
}
QUIET = {
    "noise": {
        "steal_fraction": 1.0,
        "foreign_cpu_fraction": 1.0,
        "spin_jitter": 1000,
        "repeats": 0,
    },
    "gates": {"failed_fraction": 0.0, "client_lag_p99_s": 10, "think_overrun_p99_s": 10},
    "warmup": {"requests": 2},
}


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    rc: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    def messages(self) -> list[str]:
        """What Inferometer said went wrong, one message an entry."""
        return [line for line in self.text.splitlines() if line.startswith("inferometer: ")]


def _hear_interrupts() -> None:
    """Be interruptible: what a shell starts in the background inherits that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Running:
    """A command that runs in a session of its own, its output in files."""

    def __init__(self, command: list[str], folder: Path, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        number = len(list(logs.iterdir()))
        self.out, self.err = logs / f"{number}.out", logs / f"{number}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=_hear_interrupts,
            )

    @property
    def text(self) -> str:
        return self.out.read_text() + self.err.read_text()

    def family(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def signal_group(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def wait(self, limit_s: float = LIMIT_S) -> Done:
        self.process.wait(limit_s)
        return Done(self.process.returncode, self.out.read_text(), self.err.read_text())

    def end(self) -> None:
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.signal_group(signal.SIGKILL)
            self.process.wait(10)


@dataclass
class Checkout:
    """A repository in a folder of its own, and the commands of its user."""

    root: Path
    started: list[Running] = field(default_factory=list)

    def start(self, *command: str, prefix: tuple[str, ...] = ()) -> Running:
        words = [*prefix, sys.executable, "-m", *command]
        running = Running(words, self.root, self.root.with_name(self.root.name + "-output"))
        self.started.append(running)
        return running

    def run(self, *command: str, prefix: tuple[str, ...] = (), limit_s: float = LIMIT_S) -> Done:
        return self.start(*command, prefix=prefix).wait(limit_s)

    def snakemake(self, *words: str, **options: object) -> Done:
        return self.run("snakemake", *words, **options)  # type: ignore[arg-type]

    def inferometer(self, *words: str, **options: object) -> Done:
        return self.run("inferometer", *words, **options)  # type: ignore[arg-type]

    def report(self, *words: str, **options: object) -> Done:
        """The main command, at quick depth."""
        return self.snakemake("reports/tr129.md", "--config", "depth=quick", *words, **options)

    def planned(self, *words: str, **options: object) -> dict[str, int]:
        """Jobs that the main command would run, by rule."""
        done = self.report(*words, "-n", "--quiet", "progress", **options)
        assert done.rc == 0, done.text
        counts: dict[str, int] = {}
        for rule in re.findall(r"^(?:local)?rule (\w+):$", done.text, re.MULTILINE):
            counts[rule] = counts.get(rule, 0) + 1
        assert counts or "Nothing to be done" in done.text, done.text
        return counts

    @property
    def design_file(self) -> Path:
        return self.root / "experiments" / "tr129_agent_scaling" / "design.yaml"

    def change_design(self, change: Callable[[dict], None], experiment: str = "tr129") -> None:
        (path,) = self.root.glob(f"experiments/{experiment}_*/design.yaml")
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def change_config(self, change: Callable[[dict], None]) -> None:
        path = self.root / "config" / "config.yaml"
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    @property
    def results(self) -> Path:
        """The one folder of results at quick depth."""
        (found,) = self.root.glob("results/*/tr129-quick")
        return found

    @property
    def machine(self) -> str:
        return self.results.parent.name

    def raw_files(self, pattern: str = "*/*.jsonl") -> list[Path]:
        return sorted(self.root.glob(f"results/*/tr129-quick/raw/{pattern}"))

    def servers(self) -> list[psutil.Process]:
        """Servers that were started from here and still run; their guards count too."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = Path(process.cwd()) == self.root.resolve()
                if ours and any("llamacpp_server.py" in word for word in process.cmdline()):
                    found.append(process)
        return [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    def no_server_left(self, limit_s: float = 10) -> bool:
        return bool(until(lambda: not self.servers(), limit_s))

    def end(self) -> None:
        for running in self.started:
            running.end()
        self.no_server_left()


def until(condition: Callable[[], Value], limit_s: float = 30) -> Value:
    """Poll until `condition` is true, at most for `limit_s`; its last value."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value


def server_process(checkout: Checkout) -> psutil.Process | None:
    """The llama.cpp server itself: the one that no other of its kind has started."""
    servers = checkout.servers()
    return next((p for p in servers if "guard.py" not in p.cmdline()[1]), None)


@pytest.fixture(scope="session")
def environments_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`.envs` with the llama.cpp environment, made once by the command that users have."""
    root = tmp_path_factory.mktemp("environments")
    for part in ("config", "envs", "experiments"):
        shutil.copytree(REPOSITORY / part, root / part)
    done = Checkout(root).inferometer("environment", "llamacpp", limit_s=280)
    assert done.rc == 0, done.text
    return root / ".envs"


def make_checkout(root: Path, environments: Path) -> Checkout:
    """Copy the project, shrink its quick depth, commit it."""
    root.mkdir()
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, root / part, ignore=ignore)
        else:
            shutil.copy2(source, root / part)
    (root / ".envs").symlink_to(environments)
    made = Checkout(root)

    def shrink(design: dict) -> None:
        design["depths"]["quick"] = TINY
        design.update(QUIET)

    made.change_design(shrink)
    git = ["git", "-C", str(root), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "start"]):
        subprocess.run([*git, *words], check=True)
    return made


@pytest.fixture
def checkout(tmp_path: Path, environments_folder: Path) -> Iterator[Checkout]:
    """A fresh checkout in which nothing was measured."""
    made = make_checkout(tmp_path / "checkout", environments_folder)
    yield made
    made.end()


@pytest.fixture(scope="session")
def measured_once(
    tmp_path_factory: pytest.TempPathFactory, environments_folder: Path
) -> tuple[Checkout, Done]:
    """A checkout after its first run, never to be altered, and what that run said."""
    made = make_checkout(tmp_path_factory.mktemp("measured") / "checkout", environments_folder)
    done = made.report()
    made.end()
    return made, done


@pytest.fixture
def measured(measured_once: tuple[Checkout, Done], tmp_path: Path) -> Iterator[Checkout]:
    """A copy of the measured checkout that a test may alter."""
    shutil.copytree(measured_once[0].root, tmp_path / "checkout", symlinks=True)
    made = Checkout(tmp_path / "checkout")
    yield made
    made.end()
