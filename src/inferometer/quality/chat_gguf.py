"""Metadata of a GGUF file: the few keys that a chat template needs, without its tensors.

The format is specified at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; versions 2
and 3, little-endian, are read.
"""

import mmap
import struct
from pathlib import Path
from typing import Any

from inferometer.errors import UserError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SCALARS = dict(enumerate("BbHhIif?", start=0)) | {10: "Q", 11: "q", 12: "d"}
"""Type number -> `struct` format; 8 is a string and 9 an array."""
STRING, ARRAY = 8, 9


class _Cursor:
    """Reads values one after another; raises `struct.error` beyond the end."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def scalar(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return value

    def raw(self) -> bytes:
        size = self.scalar("Q")
        self._within(size)
        start, self.at = self.at, self.at + size
        return self.data[start : self.at]

    def value(self, kind: int) -> Any:
        """A value of a type; strings as bytes, decoded only where they are asked for."""
        if kind == STRING:
            return self.raw()
        if kind == ARRAY:
            inner, count = self.scalar("I"), self.scalar("Q")
            self._within(count)  # an element has at least one byte
            if inner in SCALARS:
                form = f"{count}{SCALARS[inner]}"
                values = struct.unpack_from(f"<{form}", self.data, self.at)
                self.at += struct.calcsize(f"<{form}")
                return values
            return [self.value(inner) for _ in range(count)]
        if kind not in SCALARS:
            raise struct.error(f"type {kind} is not known")
        return self.scalar(SCALARS[kind])

    def _within(self, size: int) -> None:
        if size > len(self.data) - self.at:
            raise struct.error("a length goes beyond the end of the file")


def metadata(path: Path, wanted: set[str]) -> dict[str, Any]:
    """Those of the wanted keys that the file has; strings are bytes, arrays lists or tuples.

    Raises `UserError` when the file cannot be read, is no GGUF, or is cut off.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(data, wanted)
    except (OSError, ValueError, struct.error) as error:
        raise UserError(
            f"{path}: its GGUF metadata cannot be read ({error}); get the file again"
        ) from error


def _read(data: mmap.mmap, wanted: set[str]) -> dict[str, Any]:
    if data[:4] != MAGIC:
        raise ValueError("it does not begin with GGUF")
    cursor = _Cursor(data)
    cursor.at = 4
    version = cursor.scalar("I")
    if version not in VERSIONS:
        raise ValueError(f"version {version}; {' and '.join(map(str, VERSIONS))} are read")
    _, keys = cursor.scalar("Q"), cursor.scalar("Q")
    found: dict[str, Any] = {}
    for _ in range(keys):
        key = cursor.raw().decode()
        value = cursor.value(cursor.scalar("I"))
        if key in wanted:
            found[key] = value
        if len(found) == len(wanted):
            break
    return found
