"""Where evidence comes from: the commit, and texts freed of private paths."""

import gzip
import socket
import subprocess
from pathlib import Path
from typing import Any

from inferometer import digests
from inferometer.artifacts.fetch import cache_folder

EVIDENCE = (":!results", ":!reports")
"""Results and reports do not make the code dirty."""


def commit(root: Path) -> dict[str, Any]:
    """Commit of the repository at `root`, with a digest of what differs from it.

    `commit` is `None` outside git; `dirty` is `None` when nothing but evidence differs.
    """
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return {"commit": None, "dirty": None}
    changed = _git(root, "diff", "HEAD", "--", ".", *EVIDENCE) or ""
    new = _git(root, "ls-files", "--others", "--exclude-standard", "--", ".", *EVIDENCE) or ""
    contents = [
        digests.of_file(root / name) for name in new.splitlines() if (root / name).is_file()
    ]
    dirty = digests.of_data([changed, contents])[:16] if changed or contents else None
    return {"commit": head.strip(), "dirty": dirty}


def without_private(text: str, root: Path) -> str:
    """`text` without this machine's folders and host name, so that it can be published."""
    places = {
        str(cache_folder()): "$INFEROMETER_CACHE",
        str(root.resolve()): ".",
        str(Path.home()): "~",
    }
    for place in sorted(places, key=len, reverse=True):
        if len(place) > 1:
            text = text.replace(place, places[place])
    host = socket.gethostname()
    return text.replace(host, "HOST") if len(host) > 3 else text


def keep_log(log: Path, target: Path, root: Path) -> str:
    """Store a log compressed and without private paths; returns the file's sha256."""
    text = log.read_text(errors="replace") if log.is_file() else ""
    # mtime 0: equal logs give equal bytes
    target.write_bytes(gzip.compress(without_private(text, root).encode(), mtime=0))
    return digests.of_file(target)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, errors="replace"
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
