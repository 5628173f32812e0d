"""One session: start a SUT, warm it up, measure every cell of a block once, stop, seal.

Raw records stream into `raw/<sut>/aborted/` from the first line on and move to their place when
the manifest is sealed: whatever kills a session, what it took stays, counted and not analysed.
"""

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from inferometer import digests, environments, lock, machine, manifest, provenance
from inferometer.artifacts import fetch
from inferometer.artifacts.catalog import Catalog
from inferometer.design import Cell, Depth, Design, Sut
from inferometer.errors import UserError
from inferometer.experiments import Experiment
from inferometer.load.calibration import calibrate
from inferometer.load.client import StreamingClient
from inferometer.load.prompts import PromptSource
from inferometer.meters import host
from inferometer.progress import Position, SessionProgress
from inferometer.records import RawWriter, Record
from inferometer.stacks.base import GenerationRequest
from inferometer.stacks.registry import stack_of
from inferometer.stacks.server import RunningServer, free_port, running

READY_LIMIT_S = 180.0
REQUEST_LIMIT_S = 60.0
"""For a request, where the effort's own deadline for a cell is not shorter."""


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
    def title(self) -> str:
        """For people: experiment, SUT, block."""
        blocks = self.design.plan(self.depth).blocks
        return f"{self.experiment.id} {self.sut} block {self.block + 1}/{blocks}"


@dataclass
class Served:
    """One server in use: what it is, the client that drives it, its prompts."""

    sut: Sut
    settings: Any
    server: RunningServer
    client: StreamingClient
    prompts: PromptSource
    environment: environments.Environment | None
    artifact: fetch.Fetched | None


@dataclass
class CellRun:
    """What an experiment's `measure(run)` works with while it measures one cell.

    `servers` holds the SUT's server and, for mixed models, its companion. `append` stores a
    record under this cell. `first_index` is the first prompt index that is free; a measurement
    that used `k` prompts adds `k` to it.
    """

    design: Design
    cell: Cell
    effort: Any
    servers: list[Served]
    first_index: int
    append: Any


@dataclass(frozen=True)
class CellOutcome:
    """What an experiment says about a cell it measured.

    The window is the interval that the analysis uses, on the session's clock; `None` when there
    was none. `reasons` say why the cell is invalid. `fatal` ends the session: it says what
    happened to the SUT.
    """

    window_start_s: float | None
    window_end_s: float | None
    reasons: list[str]
    facts: dict[str, Any] = field(default_factory=dict)
    prompts_used: int = 0
    fatal: str | None = None


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
    _prepare(task)
    # installing and fetching, once on a machine, are no part of measuring
    started = psutil.Process().create_time() + time.time() - preparing
    with lock.bench(task.title):
        progress = SessionProgress(_position(task))
        with progress.shown():
            for attempt in range(1, task.design.noise.repeats + 2):
                last = attempt == task.design.noise.repeats + 1
                sealed = asyncio.run(_attempt(task, attempt, last, started, progress))
                if not sealed["noise"]["complaints"] or last:
                    break
                progress.say(f"{task.title}: noisy ({_joined(sealed)}); kept aside and repeated")
                progress.restart()
                started = time.time()
    outcome = _outcome(task, sealed)
    progress.say(outcome)
    return outcome


def _prepare(task: Assignment) -> None:
    """Make the environments and fetch the artifacts that are missing."""
    for member in _members(task.design.suts[task.sut]):
        stack, _ = stack_of(member, f"{task.experiment.folder}/design.yaml: suts.{task.sut}")
        if stack.environment:
            environments.ensure(task.root, stack.environment)
        if member.artifact:
            fetch.fetch(member.artifact, task.catalog)


def _members(sut: Sut) -> list[Sut]:
    """The SUT and its companion."""
    return [sut, sut.companion] if sut.companion else [sut]


async def _attempt(
    task: Assignment, attempt: int, last: bool, started: float, progress: SessionProgress
) -> manifest.Manifest:
    """Measure the block once and seal it where it belongs."""
    stamp = datetime.now(UTC)
    partial = task.raw.parent / "aborted" / f"{task.raw.stem}.{stamp:%Y%m%dT%H%M%S%f}Z.jsonl"
    facts: dict[str, Any] = {"before": machine.readings()}
    with RawWriter(partial) as writer:
        try:
            content = await _block(task, writer, partial, progress)
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
    task: Assignment, writer: RawWriter, partial: Path, progress: SessionProgress
) -> dict[str, Any]:
    """Probe, calibrate, serve, warm up, measure each cell; returns the manifest's content."""
    design, sut = task.design, task.design.suts[task.sut]
    step = task.experiment.step("measure")
    effort = step.Effort.model_validate(design.plan(task.depth).effort)
    order = design.cell_order(task.depth, task.sut, task.block)
    progress.stage("noise probe and client calibration")
    probes = {"before": host.probe()}
    calibration = await calibrate(quick=True)
    origin = time.monotonic()
    cells_s = 0.0
    reasons: dict[str, list[str]] = {}
    progress.stage("starting the server")
    async with _serving(task, sut, _log_of(partial), origin, effort.deadline_s) as servers:
        progress.stage("warming up")
        used = await _warm_up(design, servers, effort, writer)
        own = [psutil.Process(), *(p for s in servers for p in s.server.processes())]
        clock = host.read_clock(own)
        for index, cell in enumerate(order):
            progress.cell(cell.label)
            run = CellRun(design, cell, effort, servers, used, _appender(writer, index))
            begun = time.monotonic()
            outcome: CellOutcome = await step.measure(run)
            ended = time.monotonic()
            cells_s += ended - begun
            used += outcome.prompts_used
            writer.append(_cell_record(index, cell, outcome, begun - origin, ended - origin))
            if outcome.fatal:
                raise UserError(_fatal(task, cell, outcome.fatal, servers))
            if outcome.reasons:
                reasons[cell.label] = outcome.reasons
            progress.cell_done()
        steal, foreign = host.spent(clock, host.read_clock(own))
        facts = _server_facts(task, servers)
    probes["after"] = host.probe()
    complaints = host.complaints(design.noise, probes, steal, foreign)
    return {
        **_identity(task),
        **facts,
        "cell_order": [cell.label for cell in order],
        "calibration": calibration.to_dict(),
        "warmup": {
            "rule": "fixed number, declared in the design",
            **design.warmup.model_dump(mode="json"),
        },
        "invalid_cells": reasons,
        "noise": {
            "probes": {name: probe.to_dict() for name, probe in probes.items()},
            "block": {"steal_fraction": steal, "foreign_cpu_fraction": foreign},
            "complaints": complaints,
        },
        "cells_s": cells_s,
    }


@asynccontextmanager
async def _serving(
    task: Assignment, sut: Sut, log: Path, origin: float, limit_s: float
) -> AsyncIterator[list[Served]]:
    """Start the SUT's server and its companion's, each with a client and prompts."""
    async with AsyncExitStack() as stack_of_contexts:
        served = []
        for number, member in enumerate(_members(sut)):
            where = f"{task.experiment.folder}/design.yaml: suts.{task.sut}"
            stack, settings = stack_of(member, where)
            artifact = fetch.fetch(member.artifact, task.catalog) if member.artifact else None
            environment = (
                environments.load(task.root, stack.environment) if stack.environment else None
            )
            python = environment.python if environment else Path(sys.executable)
            launch = stack.launch(
                settings, artifact.path if artifact else None, python, free_port()
            )
            server = await stack_of_contexts.enter_async_context(
                running(stack, settings, launch, log, ready_limit_s=READY_LIMIT_S)
            )
            client = await stack_of_contexts.enter_async_context(
                StreamingClient(
                    server.base_url,
                    stack.dialect(settings),
                    timeout_s=min(REQUEST_LIMIT_S, limit_s),
                    clock_origin=origin,
                )
            )
            seed = f"{task.design.seed}/{task.sut}/{task.block}/{number}"
            prompts = await PromptSource.build(client, seed)
            served.append(Served(member, settings, server, client, prompts, environment, artifact))
        yield served


async def _warm_up(design: Design, servers: list[Served], effort: Any, writer: RawWriter) -> int:
    """Send the declared number of requests to each server; returns the prompts used."""
    count = design.warmup.requests
    for served in servers:

        async def one(index: int, served: Served = served) -> None:
            request = GenerationRequest(
                served.prompts.prompt(effort.prompt_tokens, index), effort.output_tokens, index
            )
            record = await served.client.generate(request, agent=0, sequence=index)
            writer.append(record | {"kind": "warmup"})

        await asyncio.gather(*(one(index) for index in range(count)))
    return count


def _appender(writer: RawWriter, index: int) -> Any:
    def append(record: Record) -> None:
        writer.append({"kind": record["kind"], "cell": index, **record})

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
        **outcome.facts,
    }


def _fatal(task: Assignment, cell: Cell, what: str, servers: list[Served]) -> str:
    states = []
    for served in servers:
        alive = "still runs" if served.server.alive() else "has ended"
        states.append(f"the {served.sut.stack} server {alive}; its last lines:")
        states.append(served.server.last_words())
    return (
        f"{task.title}, cell {cell.label}: {what}. The records taken so far are kept under "
        f"{task.raw.parent / 'aborted'}; run again to go on from this block.\n" + "\n".join(states)
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


def _server_facts(task: Assignment, servers: list[Served]) -> dict[str, Any]:
    """What was served, as it was started and as it described itself."""
    rows = []
    for served in servers:
        command = [provenance.without_private(part, task.root) for part in served.server.command]
        processes = served.server.processes()
        rows.append(
            {
                "stack": served.sut.stack,
                "settings": served.settings.model_dump(mode="json"),
                "command": command,
                "read_back": _published(served.server.read_back, task.root),
                "start_s": served.server.start_s,
                "resident_mib": sum(_resident(p) for p in processes) // 2**20 or None,
                "environment": _environment_facts(served.environment),
                "artifact": _artifact_facts(task, served),
                "exact_prompts": served.prompts.exact,
            }
        )
    return {"servers": rows}


def _environment_facts(environment: environments.Environment | None) -> dict[str, Any] | None:
    if environment is None:
        return None
    return {
        "lock_sha256": environment.lock_sha256,
        "python": environment.python_version,
        "freeze": environment.freeze,
    }


def _artifact_facts(task: Assignment, served: Served) -> dict[str, Any] | None:
    if served.artifact is None:
        return None
    entry = task.catalog.artifact(served.artifact.name)
    return {
        "name": served.artifact.name,
        "sha256": served.artifact.sha256,
        "bytes": served.artifact.bytes,
        "quantization": entry.quantization,
        "licence": entry.licence,
        "performance_only": entry.performance_only,
    }


def _published(data: Any, root: Path) -> Any:
    if isinstance(data, str):
        return provenance.without_private(data, root)
    if isinstance(data, dict):
        return {key: _published(value, root) for key, value in data.items()}
    if isinstance(data, list):
        return [_published(value, root) for value in data]
    return data


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def _position(task: Assignment) -> Position:
    order = task.design.session_order(task.depth, task.suts)
    results = task.experiment.results(task.root, task.machine, task.depth)
    walls = []
    for path in results.glob("raw/*/*.manifest.json"):
        try:
            walls.append(manifest.read(path)["timing"]["wall_s"])
        except (UserError, KeyError):
            continue
    return Position(
        title=task.title,
        session=order.index((task.sut, task.block)),
        sessions=len(order),
        cells=len(task.design.cells(task.depth)),
        seconds_per_session=sum(walls) / len(walls) if walls else None,
    )


def _joined(sealed: manifest.Manifest) -> str:
    return "; ".join(sealed["noise"]["complaints"])


def _outcome(task: Assignment, sealed: manifest.Manifest) -> str:
    timing = sealed["timing"]
    notes = [f"noisy: {_joined(sealed)}"] if sealed["noise"]["complaints"] else []
    notes += [f"invalid: {label}" for label in sealed["invalid_cells"]]
    return "; ".join(
        [
            f"{task.title}: {len(sealed['cell_order'])} cells, {sealed['raw']['lines']} records, "
            f"{timing['wall_s']:.1f} s, {timing['inside_cells']:.0%} of it inside cells",
            *notes,
        ]
    )
