"""Raw records: append-only JSON lines, on disk as soon as they are taken."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inferometer.errors import UserError

SCHEMA_VERSION = 1

Record = dict[str, Any]


class RawWriter:
    """Append records to a raw file: each line is flushed, and synced at least every second.

    A record is a JSON object with a `kind` (`request`, `cell`, ...); the writer adds
    `schema_version`. NaN and infinity are refused with `ValueError`. A disk that refuses a
    write (full, read-only) raises `UserError`; the lines before it stay.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("x", encoding="utf-8")
        except OSError as error:
            raise _unwritable(path, error) from error
        self._synced = time.monotonic()

    def append(self, record: Record) -> None:
        """Write one record as a line and flush it."""
        if "kind" not in record:
            raise ValueError(f"record: no 'kind' in {sorted(record)}")
        line = json.dumps(
            {"schema_version": SCHEMA_VERSION, **record}, separators=(",", ":"), allow_nan=False
        )
        try:
            self._file.write(line + "\n")
            self._file.flush()
            if time.monotonic() - self._synced >= 1:
                self.sync()
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.count += 1

    def sync(self) -> None:
        """Force what was written onto the disk."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.flush()
            self.sync()
            self._file.close()
        except OSError as failure:
            if error is None:
                raise _unwritable(self.path, failure) from failure


def read(path: Path, *, partial: bool = False) -> Iterator[tuple[int, Record]]:
    """Yield (line number from 1, record) of a raw file.

    With `partial`, a last line that a killed session left unfinished ends the reading;
    otherwise, and for any other malformed line, `UserError` names file and line.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
            except ValueError as error:
                if partial and not line.endswith(b"\n"):
                    return
                raise UserError(f"{path}: line {number} is not JSON: {error}") from error
            version = record.get("schema_version") if isinstance(record, dict) else None
            if version != SCHEMA_VERSION:
                raise UserError(
                    f"{path}: line {number} has schema_version {version!r}; this version of "
                    f"Inferometer reads {SCHEMA_VERSION}"
                )
            yield number, record


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: cannot write ({error.strerror}). Free space or mend the permissions and run "
        "again; records already written stay where they are."
    )
