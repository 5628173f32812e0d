"""Digests: of bytes, of data, and of the code that a step imports."""

import ast
import hashlib
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any


def of_bytes(data: bytes) -> str:
    """SHA-256 of `data`, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """SHA-256 of a file's bytes; raises `OSError` when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(data: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal data give equal bytes. NaN is refused."""
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def of_data(data: Any) -> str:
    """SHA-256 of the canonical JSON of `data`."""
    return of_bytes(canonical(data))


def of_code(*roots: Path, search: Path, leave_out: Sequence[str] = ()) -> str:
    """Digest of the code that Python files import, comments and formatting left out.

    Parameters
    ----------
    roots
        Python files where the step starts.
    search
        The folder that holds the package `inferometer`. Its modules are followed, and files beside
        the one that imports them, as hosts do, which run without the package.
    leave_out
        Modules of the package (`progress`, `artifacts`) that are not followed.

    Snakemake notices neither an edited imported module nor one behind it, so a step's rule
    passes this digest as a parameter. Docstrings count as comments.
    """
    seen: dict[Path, str] = {}
    waiting = [root.resolve() for root in roots]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        normal, imports = _normalised(path, path.stat().st_mtime_ns)
        seen[path] = normal
        for name in imports:
            first, *rest = name.split(".")
            if first == "inferometer":
                if not rest or rest[0] not in leave_out:
                    waiting.extend(_module_files(name, search))
            elif first not in sys.stdlib_module_names:
                waiting.extend(_module_files(first, path.parent))
    # the contents alone, in their own order: a checkout elsewhere has the same digest
    return of_data(sorted(seen.values()))


@cache
def _normalised(path: Path, _mtime: int) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(path.read_bytes(), filename=str(path))
    imports: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return of_bytes(ast.dump(tree).encode()), tuple(imports)


def _module_files(name: str, search: Path) -> list[Path]:
    base = search.joinpath(*name.split("."))
    candidates = [base.with_suffix(".py"), base / "__init__.py"]
    return [path.resolve() for path in candidates if path.is_file()]
