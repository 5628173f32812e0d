"""The SUTs of a block while they run: servers under load, and workers that infer in process."""

import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from inferometer import environments, provenance
from inferometer.artifacts import fetch
from inferometer.artifacts.catalog import Catalog
from inferometer.design import Sut
from inferometer.load.client import StreamingClient
from inferometer.load.prompts import PromptSource
from inferometer.meters.inventory import EnergyMeters
from inferometer.stacks.base import Stack
from inferometer.stacks.registry import stack_of
from inferometer.stacks.server import RunningServer, free_port, running
from inferometer.stacks.worker import WorkerClient

READY_LIMIT_S = 180.0
REQUEST_LIMIT_S = 60.0
"""For a request, where the effort's own deadline for a cell is not shorter."""


@dataclass
class Subject:
    """One running SUT: what it is, and the process that runs it."""

    sut: Sut
    stack: Stack
    settings: Any
    server: RunningServer
    environment: environments.Environment | None
    artifact: fetch.Fetched | None

    def facts(self, root: Path, catalog: Catalog) -> dict[str, Any]:
        """What was run, as it was started and as it described itself; no private paths."""
        command = [provenance.without_private(part, root) for part in self.server.command]
        return {
            "stack": self.sut.stack,
            "settings": self.settings.model_dump(mode="json"),
            "command": command,
            "read_back": _published(self.server.read_back, root),
            "start_s": self.server.start_s,
            "resident_mib": sum(map(_resident, self.server.processes())) // 2**20 or None,
            "environment": _environment_facts(self.environment),
            "artifact": _artifact_facts(self.artifact, catalog),
        }


@dataclass
class Served(Subject):
    """One server in use: the client that drives it, and its prompts."""

    client: StreamingClient
    prompts: PromptSource

    def facts(self, root: Path, catalog: Catalog) -> dict[str, Any]:
        """As of any SUT, and whether prompts have exact lengths."""
        return {**super().facts(root, catalog), "exact_prompts": self.prompts.exact}


@dataclass
class InProcess(Subject):
    """One worker in use: inference without a server's queue, prompts made of token ids."""

    worker: WorkerClient
    seed: str
    meters: EnergyMeters

    @property
    def properties(self) -> dict[str, Any]:
        """What the worker says of itself: device, precision, architecture, memory."""
        return self.server.read_back


@dataclass(frozen=True)
class Plan:
    """What is to be run, and where its log and its clock are."""

    root: Path
    where: str
    """The place in the design, for errors."""
    catalog: Catalog
    members: list[Sut]
    """The SUT and its companion."""
    seed: str
    log: Path
    clock_origin: float
    limit_s: float
    """Longest time for one request."""


class Subjects:
    """The SUTs of a plan: a context that stops them; `start` and `restart` begin their lives."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.running: list[Any] = []
        """`Served` and `InProcess` SUTs, in the order of the plan."""
        self.starts_s: list[float] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        """Start every SUT; `NotTestableHere` says why this machine cannot run one of them."""
        begun = time.monotonic()
        self._stack = AsyncExitStack()
        self.running.clear()
        for number, member in enumerate(self.plan.members):
            self.running.append(await self._run(member, f"{self.plan.seed}/{number}"))
        self.starts_s.append(time.monotonic() - begun)

    async def restart(self) -> None:
        """Stop what is left and start everything anew, in the same lists."""
        await self._stack.aclose()
        await self.start()

    def processes(self) -> list[psutil.Process]:
        """Every process of the SUTs."""
        return [process for subject in self.running for process in subject.server.processes()]

    def states(self) -> str:
        """Whether each still runs and the last it said, for error messages."""
        lines = []
        for subject in self.running:
            alive = "still runs" if subject.server.alive() else "has ended"
            lines.append(f"{subject.sut.stack} {alive}; its last lines:")
            lines.append(subject.server.last_words())
        return "\n".join(lines)

    def facts(self) -> list[dict[str, Any]]:
        """Manifest entries of all SUTs."""
        return [subject.facts(self.plan.root, self.plan.catalog) for subject in self.running]

    async def _run(self, sut: Sut, seed: str) -> Subject:
        plan = self.plan
        stack, settings = stack_of(sut, plan.where)
        name = stack.environment_for(settings)
        artifact = fetch.fetch(sut.artifact, plan.catalog, plan.root) if sut.artifact else None
        environment = environments.load(plan.root, name) if name else None
        python = environment.python if environment else Path(sys.executable)
        path = artifact.path if artifact else None
        launch = stack.launch(settings, path, python, free_port())
        server = await self._stack.enter_async_context(
            running(stack, settings, launch, plan.log, ready_limit_s=READY_LIMIT_S)
        )
        common = (sut, stack, settings, server, environment, artifact)
        dialect = stack.dialect(settings)
        if dialect is None:
            worker = await self._stack.enter_async_context(
                WorkerClient(server.base_url, plan.limit_s, plan.clock_origin, server)
            )
            gpu = server.read_back["device"].startswith("cuda")
            return InProcess(*common, worker, seed, EnergyMeters("gpu" if gpu else "cpu"))
        client = await self._stack.enter_async_context(
            StreamingClient(
                server.base_url,
                dialect,
                timeout_s=min(REQUEST_LIMIT_S, plan.limit_s),
                clock_origin=plan.clock_origin,
            )
        )
        return Served(*common, client, await PromptSource.build(client, seed))


@dataclass(frozen=True)
class Prepared:
    """What is known of a SUT before it runs.

    `served` tells that one of its members is a server, driven over HTTP; `why_not` why this
    machine cannot run it.
    """

    served: bool
    why_not: str | None = None


def prepare(root: Path, catalog: Catalog, members: list[Sut], where: str) -> Prepared:
    """Make the environments and fetch the artifacts that are missing, if it can run here at all."""
    found = [(member, *stack_of(member, where)) for member in members]
    served = any(stack.dialect(settings) is not None for _, stack, settings in found)
    for member, stack, settings in found:
        if why := stack.why_not(settings):
            return Prepared(served, why)
        if name := stack.environment_for(settings):
            environments.ensure(root, name)
        if member.artifact:
            fetch.fetch(member.artifact, catalog, root)
    return Prepared(served)


def _environment_facts(environment: environments.Environment | None) -> dict[str, Any] | None:
    if environment is None:
        return None
    return {
        "lock_sha256": environment.lock_sha256,
        "python": environment.python_version,
        "freeze": environment.freeze,
    }


def _artifact_facts(artifact: fetch.Fetched | None, catalog: Catalog) -> dict[str, Any] | None:
    if artifact is None:
        return None
    entry = catalog.artifact(artifact.name)
    return {
        "name": artifact.name,
        "sha256": artifact.sha256,
        "bytes": artifact.bytes,
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
