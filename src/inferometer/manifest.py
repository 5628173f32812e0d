"""Session manifests: what was measured, on what, with which bytes. Written last, atomically.

A session without a valid manifest does not exist for the analysis.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from inferometer import digests
from inferometer.errors import UserError

SCHEMA_VERSION = 1

Manifest = dict[str, Any]


def path_for(raw: Path) -> Path:
    """The manifest beside a raw file: `00.jsonl` has `00.manifest.json`."""
    return raw.with_name(raw.name.removesuffix(".jsonl") + ".manifest.json")


def seal(raw: Path, content: Manifest, *, target: Path) -> Manifest:
    """Describe the finished raw file and write its manifest to `target`, whole or not at all.

    Parameters
    ----------
    raw
        The closed raw file; its name in the manifest is the one it gets beside `target`.
    content
        Everything the session knows about itself.
    target
        Where the manifest goes.

    Adds `raw` (file, sha256, lines, bytes) and `manifest_sha256`, the digest of all the rest.
    """
    data = raw.read_bytes()
    sealed: Manifest = {
        "schema_version": SCHEMA_VERSION,
        **content,
        "raw": {
            "file": target.name.removesuffix(".manifest.json") + ".jsonl",
            "sha256": digests.of_bytes(data),
            "lines": data.count(b"\n"),
            "bytes": len(data),
        },
    }
    sealed["manifest_sha256"] = digests.of_data(sealed)
    write_atomically(target, json.dumps(sealed, indent=1, ensure_ascii=False) + "\n")
    return sealed


def read(path: Path) -> Manifest:
    """Read a manifest; raises `UserError` when it is missing, not JSON, or of another version."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: missing; a raw file without it is not evidence") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); restore it from git") from error
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{path}: not a manifest of schema_version {SCHEMA_VERSION}")
    return content


def problems(path: Path) -> list[str]:
    """What is wrong with a manifest and its raw file; empty when both are as sealed."""
    try:
        content = read(path)
    except UserError as error:
        return [str(error)]
    found = []
    body = {key: value for key, value in content.items() if key != "manifest_sha256"}
    if digests.of_data(body) != content.get("manifest_sha256"):
        found.append(f"{path}: altered: its content does not match its own manifest_sha256")
    sealed = content["raw"]
    raw = path.with_name(sealed["file"])
    if not raw.is_file():
        found.append(f"{raw}: missing, though {path.name} describes it")
    elif digests.of_file(raw) != sealed["sha256"]:
        found.append(f"{raw}: altered: sha256 differs from the one sealed in {path.name}")
    return found


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new content, never a part.

    Raises `UserError` that names the path when the disk refuses.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise UserError(f"{path}: cannot write ({error.strerror})") from error
