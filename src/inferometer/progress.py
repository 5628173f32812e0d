"""Where a long measurement is: experiment, block, cell, and the time left."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn


@dataclass(frozen=True)
class Position:
    """Where one session stands among all of its experiment.

    `cells` has the number of cells of every session, in the order of measuring; `expected_s` what
    each should take, `None` before one was measured.
    """

    title: str
    session: int
    cells: Sequence[int]
    expected_s: Sequence[float] | None


def expected_s(
    sessions: Sequence[tuple[str, int]], measured: Sequence[tuple[str, int, float]]
) -> list[float] | None:
    """Seconds that sessions should take, given as (SUT, cells); `None` before one was measured.

    As those `measured`, (SUT, cells, seconds), of the same SUT and as many cells; else of any SUT
    and as many; else by the cell: some phases are measured in the first block alone.
    """
    if not measured:
        return None
    pace = sum(seconds for *_, seconds in measured) / sum(cells for _, cells, _ in measured)
    found = []
    for sut, cells in sessions:
        alike = [one for one in measured if one[1] == cells]
        own = [one for one in alike if one[0] == sut]
        found.append(fmean(one[2] for one in own or alike) if alike else pace * cells)
    return found


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
            total = sum(self.position.cells)
            self._bar, self._task = bar, bar.add_task(self.position.title, total=total, left="")
            yield self
        self._bar = None

    def stage(self, text: str) -> None:
        """Say what the session is doing between cells."""
        self._show(text)

    def cell(self, label: str) -> None:
        """Say which cell starts."""
        cells = self.position.cells[self.position.session]
        self._show(f"cell {self.done + 1}/{cells} {label}")

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
        expected = where.expected_s
        if expected is None:
            if self.done == 0:
                return None
            expected = [elapsed / self.done * cells for cells in where.cells]
        this, *after = expected[where.session :]
        return max(this - elapsed, 0.0) + sum(after)

    def _show(self, text: str) -> None:
        left = self.left_s()
        remaining = f"{int(left // 60)}:{int(left % 60):02d} left" if left is not None else ""
        where = self.position
        title = f"{where.title} · {text}"
        if self._bar is not None and self._task is not None:
            completed = sum(where.cells[: where.session]) + self.done
            self._bar.update(self._task, description=title, completed=completed, left=remaining)
        else:
            print(f"{title}{' · ' if remaining else ''}{remaining}", file=sys.stderr, flush=True)
