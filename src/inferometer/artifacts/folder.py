"""The cache, and artifacts that are folders in it: their digest, and how they were made."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferometer import digests
from inferometer.errors import UserError
from inferometer.manifest import write_atomically

CACHE_VARIABLE = "INFEROMETER_CACHE"
MADE = "made.json"
"""Written last into a folder that was made here; no part of its digest."""


def cache_folder() -> Path:
    """`$INFEROMETER_CACHE`, else the user's cache folder; never inside a repository."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "inferometer"


@dataclass(frozen=True)
class Contents:
    """What is in a file or folder: (name, sha256, bytes) of each file, sorted by name."""

    files: tuple[tuple[str, str, int], ...]
    single: bool

    @property
    def sha256(self) -> str:
        """The file's own, or the digest over the sorted (name, sha256) of a folder's files."""
        if self.single:
            return self.files[0][1]
        return digests.of_data([[name, sha256] for name, sha256, _ in self.files])

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(size for _, _, size in self.files)


def contents(path: Path) -> Contents:
    """Read and hash a file, or every file of a folder; raises `OSError`."""
    if path.is_file():
        return Contents(((path.name, digests.of_file(path), path.stat().st_size),), single=True)
    found = sorted(file for file in path.rglob("*") if file.is_file() and file != path / MADE)
    return Contents(
        tuple(
            (file.relative_to(path).as_posix(), digests.of_file(file), file.stat().st_size)
            for file in found
        ),
        single=False,
    )


def seal(folder: Path, recipe: dict[str, Any], facts: dict[str, Any]) -> None:
    """Say in `made.json` what a finished folder was made from, and what came out."""
    seen = contents(folder)
    content = {
        "recipe": recipe,
        "recipe_sha256": digests.of_data(recipe),
        "sha256": seen.sha256,
        "files": {name: {"sha256": sha256, "bytes": size} for name, sha256, size in seen.files},
        **facts,
    }
    write_atomically(folder / MADE, json.dumps(content, indent=1) + "\n")


def verified(name: str, folder: Path) -> Contents:
    """The contents of a made folder, equal to what was recorded when it was made.

    Raises `UserError` naming the files that differ.
    """
    mend = f"delete {folder} and run again to make it anew"
    try:
        recorded = json.loads((folder / MADE).read_bytes())["files"]
        seen = contents(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"artifact {name}: {folder / MADE} cannot be read; {mend}") from error
    now = {file: {"sha256": sha256, "bytes": size} for file, sha256, size in seen.files}
    if now != recorded:
        different = sorted(
            file for file in {*now, *recorded} if now.get(file) != recorded.get(file)
        )
        raise UserError(
            f"artifact {name}: {', '.join(different)} in {folder} differ from what was made; {mend}"
        )
    return seen
