"""How far the scoring of answers is, and the time left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

SAY_EVERY_S = 10.0


@contextmanager
def shown(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show one part of the scoring; what it yields counts one score set as done.

    A live bar on a terminal; elsewhere a line every ten seconds, and none for a part that is
    shorter. The time left is that of this part, from its pace so far.
    """
    console = Console(stderr=True, highlight=False)
    started = said = time.monotonic()
    done = 0

    def left() -> str:
        seconds = (time.monotonic() - started) / max(done, 1) * (total - done)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d} left" if done else ""

    if not console.is_terminal:

        def line() -> None:
            nonlocal done, said
            done += 1
            if time.monotonic() - said >= SAY_EVERY_S:
                said = time.monotonic()
                print(f"{title} · {done}/{total} · {left()}", file=sys.stderr, flush=True)

        yield line
        return

    columns = [TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn()]
    with Progress(
        *columns, TextColumn("{task.fields[left]}"), console=console, transient=True
    ) as bar:
        task = bar.add_task(title, total=total, left="")

        def advance() -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=done, left=left())

        yield advance
