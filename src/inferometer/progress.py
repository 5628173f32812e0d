"""Where a long measurement is: experiment, block, cell, and the time left."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn


@dataclass(frozen=True)
class Position:
    """Where one session stands among those that its workflow still has to measure.

    `seconds_per_session` comes from sessions already done; `None` before the first.
    """

    title: str
    session: int
    sessions: int
    cells: int
    seconds_per_session: float | None


class SessionProgress:
    """Report cells of one session: a live bar on a terminal, a line a cell elsewhere."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self.done = 0
        self.started = time.monotonic()
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    @contextmanager
    def shown(self) -> Iterator["SessionProgress"]:
        """Show the bar while the session runs."""
        if not self._console.is_terminal:
            yield self
            return
        columns = [
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.fields[left]}"),
        ]
        with Progress(*columns, console=self._console, transient=True) as bar:
            total = self.position.sessions * self.position.cells
            self._bar, self._task = bar, bar.add_task(self.position.title, total=total, left="")
            yield self
        self._bar = None

    def stage(self, text: str) -> None:
        """Say what the session is doing between cells."""
        self._show(text)

    def cell(self, label: str) -> None:
        """Say which cell starts."""
        self._show(f"cell {self.done + 1}/{self.position.cells} {label}")

    def restart(self) -> None:
        """Begin the session anew: its cells count from the first again."""
        self.done = 0
        self.started = time.monotonic()

    def cell_done(self) -> None:
        """Count a finished cell."""
        self.done += 1

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, soft_wrap=True, markup=False)

    def left_s(self) -> float | None:
        """Seconds until the last session ends, from the pace so far; `None` before there is one."""
        where = self.position
        elapsed = time.monotonic() - self.started
        session = where.seconds_per_session
        if session is None:
            if self.done == 0:
                return None
            session = elapsed / self.done * where.cells
        return max(session - elapsed, 0.0) + (where.sessions - where.session - 1) * session

    def _show(self, text: str) -> None:
        left = self.left_s()
        remaining = f"{int(left // 60)}:{int(left % 60):02d} left" if left is not None else ""
        where = self.position
        title = f"{where.title} · {text}"
        if self._bar is not None and self._task is not None:
            completed = where.session * where.cells + self.done
            self._bar.update(self._task, description=title, completed=completed, left=remaining)
        else:
            print(f"{title}{' · ' if remaining else ''}{remaining}", file=sys.stderr, flush=True)
