"""What lies in a results folder: sealed sessions, files set aside, and files nobody knows."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from inferometer import digests, manifest, records
from inferometer.errors import UserError
from inferometer.experiments import SESSION, parse_results_name
from inferometer.findings import FindingsFile, SessionRef

SET_ASIDE = ("aborted", "noisy", "superseded")
OWN_FILES = ("observations.parquet", "findings.json")
_MANIFEST = ".manifest.json"
_RAW = ".jsonl"


@dataclass(frozen=True)
class Folder:
    """A results folder `results/<machine>/<experiment>[-<depth>]`."""

    path: Path

    @property
    def machine(self) -> str:
        """The machine that the folder belongs to."""
        return self.path.parent.name

    @property
    def experiment(self) -> str:
        """The experiment's id."""
        return parse_results_name(self.path.name)[0]

    @property
    def depth(self) -> str:
        """The depth that the folder's name says."""
        return parse_results_name(self.path.name)[1]

    @cached_property
    def sessions(self) -> list[Path]:
        """Manifests of the sessions that are analysed."""
        return sorted(
            path
            for path in self.path.glob(f"raw/*/*{_MANIFEST}")
            if SESSION.match(path.name.removesuffix(_MANIFEST))
        )

    @cached_property
    def set_aside(self) -> list[Path]:
        """Raw files that are kept but not analysed."""
        return sorted(
            path for kind in SET_ASIDE for path in self.path.glob(f"raw/*/{kind}/*{_RAW}")
        )

    @cached_property
    def files(self) -> list[Path]:
        """Every file in the folder."""
        return sorted(path for path in self.path.rglob("*") if path.is_file())


def sealed_problems(folder: Folder) -> list[str]:
    """Manifests, raw files and logs that are not as sealed, and sessions in a wrong place."""
    found = []
    for path in folder.sessions:
        broken = session_problems(path)
        found += broken
        if not broken:
            found += _misplaced(path, folder)
    return found


def session_problems(described: Path) -> list[str]:
    """What is wrong with one session's manifest, raw file, and the other files it seals."""
    try:
        found = manifest.problems(described)
    except (KeyError, TypeError, OSError) as error:
        return [f"{described}: not readable as a manifest ({error!r}); restore it from git"]
    if found:
        return found
    for name, sha256 in manifest.read(described).get("files", {}).items():
        beside = described.with_name(name)
        if not beside.is_file():
            found.append(f"{beside}: missing, though {described.name} describes it")
        elif digests.of_file(beside) != sha256:
            found.append(f"{beside}: altered: sha256 differs from the one in {described.name}")
    return found


def set_aside_problems(folder: Folder) -> list[str]:
    """Set-aside files that are unreadable, or not as sealed where they have a manifest."""
    found = []
    for path in folder.set_aside:
        described = manifest.path_for(path)
        if path.parent.name != "aborted":
            found += session_problems(described)
            continue
        try:
            for _ in records.read(path, partial=True):
                pass
        except UserError as error:
            found.append(str(error))
    return found


def reference_problems(folder: Folder, file: FindingsFile) -> list[str]:
    """Sessions on disk that differ from the ones the findings name."""
    where = folder.path / "findings.json"
    named = {session.id: session for session in file.sessions}
    found = []
    if (file.machine, file.experiment, file.depth) != (
        folder.machine,
        folder.experiment,
        folder.depth,
    ):
        found.append(f"{where}: is about {file.experiment} on {file.machine} at {file.depth} depth")
    on_disk = {_id(path): path for path in folder.sessions}
    found += [f"{on_disk[i]}: sealed, but {where} does not use it" for i in on_disk.keys() - named]
    found += [f"{where}: session {i} has no sealed raw file" for i in named.keys() - on_disk]
    for name in sorted(named.keys() & on_disk):
        found += differing(named[name], on_disk[name])
    return sorted(found)


def orphans(folder: Folder, file: FindingsFile | None) -> list[str]:
    """Raw without manifest, manifest without raw, and files that nothing here explains."""
    known = {folder.path / name for name in OWN_FILES}
    if file is not None:
        known |= {folder.path / "figures" / name for name in file.figures}
        for decision in file.decisions:
            known |= {
                folder.path / "decisions" / f"{decision.id}{end}" for end in (".json", ".mmd")
            }
    for described in folder.path.glob(f"raw/**/*{_MANIFEST}"):
        known |= set(_described(described))
    for path in folder.path.glob("raw/*/aborted/*"):
        if path.suffix == _RAW or path.name.endswith(".server.log"):
            known.add(path)
    found = []
    for path in folder.files:
        if path in known:
            continue
        if path.suffix == _RAW and path.is_relative_to(folder.path / "raw"):
            found.append(f"{path}: raw file without a manifest; it is no evidence")
        else:
            found.append(f"{path}: nothing made or describes this file; remove or explain it")
    return found


def _described(path: Path) -> Iterator[Path]:
    """The files that a manifest accounts for, itself included."""
    yield path
    try:
        content = manifest.read(path)
        yield path.with_name(content["raw"]["file"])
        for name in content.get("files", {}):
            yield path.with_name(name)
    except (UserError, KeyError, TypeError):
        yield path.with_name(path.name.removesuffix(_MANIFEST) + _RAW)


def _id(described: Path) -> str:
    return f"{described.parent.name}/{described.name.removesuffix(_MANIFEST)}"


def _misplaced(path: Path, folder: Folder) -> list[str]:
    content = manifest.read(path)
    found = []
    if content.get("session") != _id(path):
        found.append(f"{path}: is session {content.get('session')}; it does not belong here")
    measured_on = content.get("machine", {}).get("id")
    if measured_on != folder.machine:
        found.append(f"{path}: was measured on {measured_on}, not on {folder.machine}")
    return found


def differing(named: SessionRef, path: Path) -> Iterator[str]:
    """What a session's manifest says otherwise than the findings do."""
    try:
        content = manifest.read(path)
        sealed = {
            "raw_sha256": content["raw"]["sha256"],
            "manifest_sha256": content["manifest_sha256"],
            "records": content["raw"]["lines"],
            "design_digest": content["design_digest"],
        }
    except (UserError, KeyError, TypeError):
        return  # reported with the seals
    for name, value in sealed.items():
        if getattr(named, name) != value:
            yield f"{path}: {name} differs from the one in findings.json"
