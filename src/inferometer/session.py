"""One session: start a SUT, warm it up, measure every cell of a block once, stop, seal.

Raw records stream into `raw/<sut>/aborted/` from the first line on and move to their place when
the manifest is sealed: whatever kills a session, what it took stays, counted and not analysed.
"""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from inferometer import digests, lock, machine, manifest, provenance, subjects
from inferometer.artifacts.catalog import Catalog
from inferometer.design import Cell, Depth, Design, Sut
from inferometer.errors import NotTestableHere, UserError
from inferometer.experiments import Experiment
from inferometer.load.calibration import calibrate
from inferometer.meters import host
from inferometer.progress import Position, SessionProgress, expected_s
from inferometer.records import RawWriter, Record
from inferometer.subjects import Subjects


@dataclass(frozen=True)
class Assignment:
    """Which session to measure, and where its files go."""

    root: Path
    experiment: Experiment
    catalog: Catalog
    machine: str
    depth: Depth
    sut: str
    block: int
    suts: list[str]
    data_dir: Path | None = None
    """Folder with the items of public benchmarks, where the configuration names one."""

    @property
    def design(self) -> Design:
        """The experiment's design."""
        return self.experiment.design

    @property
    def raw(self) -> Path:
        """Where the raw file ends up."""
        return self.experiment.raw(self.root, self.machine, self.depth, self.sut, self.block)

    @property
    def session_id(self) -> str:
        """`<sut>/<NN>`."""
        return f"{self.sut}/{self.block:02d}"

    @property
    def where(self) -> str:
        """The SUT's place in the design, for errors."""
        return f"{self.experiment.folder}/design.yaml: suts.{self.sut}"

    @property
    def title(self) -> str:
        """For people: experiment, SUT, block."""
        blocks = self.design.plan(self.depth).blocks
        return f"{self.experiment.id} {self.sut} block {self.block + 1}/{blocks}"


@dataclass
class BlockRun:
    """What an experiment's `warm_up(run)` works with before the first cell of a block.

    `suts` holds the running SUT and, for mixed models, its companion: `subjects.Served` for a
    server, `subjects.InProcess` for a worker. `append` stores a record. `block` counts from 0;
    `kept` is what earlier cells of the block left for later ones, such as a measured capacity.
    `root` is the repository, `data_dir` the configured folder with items of public benchmarks.
    """

    design: Design
    effort: Any
    suts: list[Any]
    append: Callable[[Record], None]
    block: int = field(default=0, kw_only=True)
    kept: dict[str, Any] = field(default_factory=dict, kw_only=True)
    root: Path = field(default=Path(), kw_only=True)
    data_dir: Path | None = field(default=None, kw_only=True)


@dataclass
class CellRun(BlockRun):
    """What an experiment's `measure(run)` works with while it measures one cell.

    `append` stores a record under this cell. `first_index` is the first prompt index that is
    free; a measurement that used `k` prompts adds `k` to it. `with aside():` keeps work of ours
    that is not timed, such as scoring, out of the noise of the block.
    """

    cell: Cell
    first_index: int
    aside: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, kw_only=True)


@dataclass(frozen=True)
class CellOutcome:
    """What an experiment says about a cell it measured.

    The window is the interval that the analysis uses, on the session's clock; `None` when there
    was none. `reasons` say why the cell is invalid; `not_testable` says why it cannot be measured
    on this machine at all. `fatal` ends the session: it says what happened to the SUT. `restart`
    asks for a new life of the SUT before the next cell: its end was itself a result.
    """

    window_start_s: float | None
    window_end_s: float | None
    reasons: list[str]
    facts: dict[str, Any] = field(default_factory=dict)
    prompts_used: int = 0
    fatal: str | None = None
    not_testable: str | None = None
    restart: bool = False


def measure(task: Assignment) -> str:
    """Measure one session and seal it; a noisy one is kept aside and repeated.

    Returns one line that says what came of it.

    Raises `UserError` when the machine is another one, or when the SUT cannot be measured.
    """
    here = machine.current_id()
    if here != task.machine:
        raise UserError(
            f"{task.raw}: belongs to machine {task.machine}, this one is {here}; measurements "
            f"are only taken on their own machine. Leave `machine: auto` in config/config.yaml"
        )
    preparing = time.time()
    members = _members(task.design.suts[task.sut])
    prepared = subjects.prepare(task.root, task.catalog, members, task.where)
    if prepare := getattr(task.experiment.step("measure"), "prepare", None):
        prepare(task.root)
    # installing and fetching, once on a machine, are no part of measuring
    started = psutil.Process().create_time() + time.time() - preparing
    with lock.bench(task.title):
        progress = SessionProgress(_position(task))
        with progress.shown():
            for attempt in range(1, task.design.noise.repeats + 2):
                last = attempt == task.design.noise.repeats + 1
                sealed = asyncio.run(_attempt(task, prepared, attempt, last, started, progress))
                if not sealed["noise"]["complaints"] or last:
                    break
                progress.say(f"{task.title}: noisy ({_joined(sealed)}); kept aside and repeated")
                progress.restart()
                started = time.time()
    outcome = _outcome(task, sealed)
    progress.say(outcome)
    return outcome


def _members(sut: Sut) -> list[Sut]:
    """The SUT and its companion."""
    return [sut, sut.companion] if sut.companion else [sut]


async def _attempt(
    task: Assignment,
    prepared: subjects.Prepared,
    attempt: int,
    last: bool,
    started: float,
    progress: SessionProgress,
) -> manifest.Manifest:
    """Measure the block once and seal it where it belongs."""
    stamp = datetime.now(UTC)
    partial = task.raw.parent / "aborted" / f"{task.raw.stem}.{stamp:%Y%m%dT%H%M%S%f}Z.jsonl"
    facts: dict[str, Any] = {"before": machine.readings()}
    with RawWriter(partial) as writer:
        try:
            content = await _block(task, prepared, writer, partial, progress)
        except (UserError, OSError) as error:
            # the reason stays with the partial file; a full disk, of which the error itself
            # tells, may refuse even that
            reason = provenance.without_private(str(error), task.root)
            with suppress(UserError):
                writer.append({"kind": "aborted", "reason": reason})
            raise
    noise = content.pop("noise")
    complaints = noise["complaints"]
    cells_s = content.pop("cells_s")
    wall_s = time.time() - started
    content |= {
        "started": stamp.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "readings": {**facts, "after": machine.readings()},
        "noise": noise | {"attempt": attempt, "noisy": bool(complaints)},
        "timing": {"wall_s": wall_s, "cells_s": cells_s, "inside_cells": cells_s / wall_s},
    }
    target = task.raw
    if complaints and not last:
        target = task.raw.parent / "noisy" / f"{task.raw.stem}.{stamp:%Y%m%dT%H%M%S%f}Z.jsonl"
    return _seal(task, partial, content, target)


def _seal(
    task: Assignment, partial: Path, content: dict[str, Any], target: Path
) -> manifest.Manifest:
    """Move raw file and log to their place, manifest last; older evidence is kept beside."""
    if target == task.raw:
        _set_superseded_aside(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    log = _log_of(partial)
    kept = target.with_suffix(".server.log.gz")
    content["files"] = {kept.name: provenance.keep_log(log, kept, task.root)}
    sealed_path = manifest.path_for(target)
    sealed_path.unlink(missing_ok=True)
    sealed = manifest.seal(partial, content, target=sealed_path)
    partial.replace(target)
    log.unlink(missing_ok=True)
    if not any(partial.parent.iterdir()):
        partial.parent.rmdir()
    return sealed


def _set_superseded_aside(raw: Path) -> None:
    """Keep sealed evidence that is about to be replaced."""
    described = manifest.path_for(raw)
    if not raw.exists() or not described.exists() or manifest.problems(described):
        return
    digest = manifest.read(described)["raw"]["sha256"][:8]
    folder = raw.parent / "superseded"
    folder.mkdir(exist_ok=True)
    kept = folder / f"{raw.stem}.{digest}.jsonl"
    shutil.copy2(raw, kept)
    # resealed under its new name; the content, and so the measurement, is the same
    content = manifest.read(described)
    for key in ("schema_version", "raw", "manifest_sha256"):
        content.pop(key)
    content["superseded"] = {"was": raw.name}
    content["files"] = {}
    manifest.seal(kept, content, target=manifest.path_for(kept))


def _log_of(partial: Path) -> Path:
    return partial.with_suffix(".server.log")


async def _block(
    task: Assignment,
    prepared: subjects.Prepared,
    writer: RawWriter,
    partial: Path,
    progress: SessionProgress,
) -> dict[str, Any]:
    """Probe, calibrate, start, warm up, measure each cell; returns the manifest's content."""
    design, sut = task.design, task.design.suts[task.sut]
    step = task.experiment.step("measure")
    effort = step.Effort.model_validate(design.plan(task.depth).effort)
    order = design.cell_order(task.depth, task.sut, task.block)
    content: dict[str, Any] = {**_identity(task), "cell_order": [cell.label for cell in order]}
    progress.stage("noise probe and client calibration" if prepared.served else "noise probe")
    probes = {"before": host.probe()}
    if prepared.served:  # a worker times itself: no client of ours is in what it measures
        content["calibration"] = (await calibrate(quick=True)).to_dict()
    origin = time.monotonic()
    plan = subjects.Plan(
        root=task.root,
        where=task.where,
        catalog=task.catalog,
        members=_members(sut),
        seed=f"{design.seed}/{task.sut}/{task.block}",
        log=_log_of(partial),
        clock_origin=origin,
        limit_s=effort.deadline_s,
    )
    cells = _Cells(task, step, effort, writer, origin)
    progress.stage("starting the SUT")
    async with Subjects(plan) as running:
        try:
            if prepared.why_not:
                raise NotTestableHere(prepared.why_not)
            await running.start()
        except NotTestableHere as why:
            cells.skip(order, str(why))
            steal, foreign = None, 0.0
        else:
            progress.stage("warming up")
            cells.used = await step.warm_up(
                BlockRun(
                    design,
                    effort,
                    running.running,
                    writer.append,
                    block=task.block,
                    root=task.root,
                    data_dir=task.data_dir,
                )
            )
            clock = host.BlockClock(running.processes)
            for index, cell in enumerate(order):
                progress.cell(cell.label)
                await cells.measure(index, cell, running, clock)
                progress.cell_done()
            steal, foreign = clock.spent()
        content |= {"servers": running.facts(), "lives": len(running.starts_s)}
    probes["after"] = host.probe()
    return content | {
        "warmup": {
            "rule": "fixed number, declared in the design",
            **design.warmup.model_dump(mode="json"),
        },
        "invalid_cells": cells.invalid,
        "not_testable_cells": cells.not_testable,
        "noise": {
            "probes": {name: probe.to_dict() for name, probe in probes.items()},
            "block": {"steal_fraction": steal, "foreign_cpu_fraction": foreign},
            "complaints": host.complaints(design.noise, probes, steal, foreign),
        },
        "cells_s": cells.seconds,
    }


class _Cells:
    """Measures the cells of a block one after the other and keeps what they say."""

    def __init__(
        self, task: Assignment, step: Any, effort: Any, writer: RawWriter, origin: float
    ) -> None:
        self.task, self.step, self.effort = task, step, effort
        self.writer, self.origin, self.used = writer, origin, 0
        self.seconds = 0.0
        self._kept: dict[str, Any] = {}
        self._sut_gone = False
        self.invalid: dict[str, list[str]] = {}
        self.not_testable: dict[str, str] = {}

    async def measure(
        self, index: int, cell: Cell, running: Subjects, clock: host.BlockClock
    ) -> None:
        """Measure one cell and append its record; `UserError` when the SUT is of no more use."""
        if self._sut_gone:
            await running.restart()
            clock.drop()
        run = CellRun(
            self.task.design,
            self.effort,
            running.running,
            _appender(self.writer, self.task.root, cell=index),
            cell,
            self.used,
            block=self.task.block,
            kept=self._kept,
            root=self.task.root,
            data_dir=self.task.data_dir,
            aside=clock.aside,
        )
        begun = time.monotonic()
        outcome: CellOutcome = await self.step.measure(run)
        ended = time.monotonic()
        self.seconds += ended - begun
        self.used += outcome.prompts_used
        times = (begun - self.origin, ended - self.origin)
        self.writer.append(_cell_record(index, cell, outcome, *times))
        if outcome.fatal:
            raise UserError(_fatal(self.task, cell, outcome.fatal, running))
        if outcome.reasons:
            self.invalid[cell.label] = outcome.reasons
        if outcome.not_testable:
            self.not_testable[cell.label] = outcome.not_testable
        self._sut_gone = outcome.restart
        if not outcome.restart:
            clock.mark()

    def skip(self, order: list[Cell], why: str) -> None:
        """Enter every cell as not testable: the SUT cannot run on this machine."""
        now = time.monotonic() - self.origin
        for index, cell in enumerate(order):
            outcome = CellOutcome(None, None, [], not_testable=why)
            self.writer.append(_cell_record(index, cell, outcome, now, now))
            self.not_testable[cell.label] = why


def _appender(writer: RawWriter, root: Path, **about: Any) -> Callable[[Record], None]:
    def append(record: Record) -> None:
        if error := record.get("error"):  # errors of a stack may name folders of this machine
            record = {**record, "error": provenance.without_private(error, root)}
        writer.append({"kind": record["kind"], **about, **record})

    return append


def _cell_record(
    index: int, cell: Cell, outcome: CellOutcome, started_s: float, ended_s: float
) -> Record:
    return {
        "kind": "cell",
        "cell": index,
        "phase": cell.phase,
        "levels": cell.levels,
        "started_s": round(started_s, 6),
        "ended_s": round(ended_s, 6),
        "window_start_s": outcome.window_start_s,
        "window_end_s": outcome.window_end_s,
        "valid": not outcome.reasons,
        "reasons": outcome.reasons,
        **({"not_testable": outcome.not_testable} if outcome.not_testable else {}),
        **outcome.facts,
    }


def _fatal(task: Assignment, cell: Cell, what: str, running: Subjects) -> str:
    return (
        f"{task.title}, cell {cell.label}: {what}. The records taken so far are kept under "
        f"{task.raw.parent / 'aborted'}; run again to go on from this block.\n{running.states()}"
    )


def _identity(task: Assignment) -> dict[str, Any]:
    found = machine.identity()
    software = machine.software()
    return {
        "experiment": task.experiment.id,
        "session": task.session_id,
        "sut": task.sut,
        "block": task.block,
        "depth": task.depth,
        "design_digest": task.design.digest,
        "measurement_digest": task.design.measurement_digest(task.sut, task.depth),
        "seed": task.design.seed,
        "machine": {
            "id": task.machine,
            "identity": asdict(found),
            "software": software,
            "software_digest": digests.of_data(software),
        },
        "code": provenance.commit(task.root),
    }


def _position(task: Assignment) -> Position:
    order = task.design.session_order(task.depth, task.suts)
    results = task.experiment.results(task.root, task.machine, task.depth)
    measured = []
    for path in results.glob("raw/*/*.manifest.json"):
        try:
            found = manifest.read(path)
            measured.append((found["sut"], len(found["cell_order"]), found["timing"]["wall_s"]))
        except (UserError, KeyError):
            continue
    sessions = [(sut, len(task.design.cells(task.depth, sut, block))) for sut, block in order]
    return Position(
        title=task.title,
        session=order.index((task.sut, task.block)),
        cells=[cells for _, cells in sessions],
        expected_s=expected_s(sessions, measured),
    )


def _joined(sealed: manifest.Manifest) -> str:
    return "; ".join(sealed["noise"]["complaints"])


def _outcome(task: Assignment, sealed: manifest.Manifest) -> str:
    timing = sealed["timing"]
    notes = [f"noisy: {_joined(sealed)}"] if sealed["noise"]["complaints"] else []
    notes += [f"invalid: {label}" for label in sealed["invalid_cells"]]
    reasons = Counter(sealed["not_testable_cells"].values())
    notes += [f"not testable here, {count} cells: {why}" for why, count in reasons.items()]
    return "; ".join(
        [
            f"{task.title}: {len(sealed['cell_order'])} cells, {sealed['raw']['lines']} records, "
            f"{timing['wall_s']:.1f} s, {timing['inside_cells']:.0%} of it inside cells",
            *notes,
        ]
    )
