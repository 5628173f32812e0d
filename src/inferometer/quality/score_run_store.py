"""Scores on disk: one JSON object a line, appended as they come, found again by their key."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from inferometer.errors import UserError
from inferometer.quality.scoring import Score

FILE = "scores.jsonl"


@dataclass
class ScoreStore:
    """The scores of a folder by key; one process at a time appends to them."""

    path: Path
    descriptor: int
    scores: dict[str, Score] = field(default_factory=dict)

    def add(self, task: str, item: str, scores: Sequence[tuple[str, Score]]) -> None:
        """Append scores of one answer, each with its key, in one write: all of them or a torn line.

        Raises `OSError` when they cannot be written.
        """
        lines = b""
        for key, score in scores:
            content = {"key": key, "task": task, "item": item, **asdict(score)}
            lines += json.dumps(content).encode() + b"\n"
            self.scores[key] = score
        while lines:  # a full disk may take a part
            lines = lines[os.write(self.descriptor, lines) :]


@contextmanager
def opened(folder: Path) -> Iterator[ScoreStore]:
    """The store of a folder, made where it is missing.

    A last line that was torn by the end of its process is cut off. Raises `UserError` for any other
    line that is no score, for a folder that cannot be written, and when another process has it.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise UserError(f"{path}: scores cannot be written there ({error})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{path}: another process is scoring into it; wait for it") from None
        yield ScoreStore(path, descriptor, _read(path, descriptor))
    finally:
        os.close(descriptor)


def _read(path: Path, descriptor: int) -> dict[str, Score]:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.ftruncate(descriptor, whole)
    scores = {}
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            said: dict[str, Any] = json.loads(line)
            key, _, _ = said.pop("key"), said.pop("task"), said.pop("item")
            scores[key] = Score(**said)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}:{number}: is no score ({error}); delete the line, and it is scored anew"
            ) from error
    return scores
