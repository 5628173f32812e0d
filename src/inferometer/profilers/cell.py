"""A cell of N sequences at once, run in pairs: with the profiler and without it."""

import asyncio
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from inferometer.errors import UserError
from inferometer.phases.cell import prompt
from inferometer.profilers import tracing
from inferometer.records import Record
from inferometer.session import BlockRun, CellOutcome, CellRun
from inferometer.stacks.base import GenerationRequest, ProfiledServer
from inferometer.stacks.worker import WorkerGone, WorkerTimeout
from inferometer.subjects import InProcess, Served

WARMUP_OUTPUT = 4
"""Tokens of each sequence in the warm-up."""
GONE = ("gone", "timeout", "refused", "disconnected")
"""Statuses after which the SUT needs a new life."""
NOT_PROFILED = "{} offers no profiler that this library drives; only its throughput is measured"


class ProfileEffort(BaseModel):
    """Work per cell: `repetitions`, each a profiled run and its unprofiled twin.

    Every run makes `output_tokens` after prompts of `prompt_tokens`, in each of its sequences:
    equal tokens at every N. Where a run of few sequences is short, its unprofiled twin is repeated
    until they made `plain_tokens` together. `deadline_s` bounds one run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    repetitions: int = Field(ge=1)
    prompt_tokens: int = Field(ge=2)
    output_tokens: int = Field(ge=2)
    plain_tokens: int = Field(default=0, ge=0)
    deadline_s: float = Field(gt=0)


async def warm_up(run: BlockRun) -> int:
    """Warm up as many sequences at once as the design says, then the profiler with one.

    Raises `UserError` when the SUT does not survive it.
    """
    driver, count = _driver(run), run.design.warmup.requests
    plan = [(0, count, False)]
    if driver.why_not is None:
        plan.append((count, 1, True))
    for first, sequences, profiled in plan:
        taken = await driver.run(first, sequences, WARMUP_OUTPUT, profiled)
        for path in taken.traces:
            path.unlink(missing_ok=True)
        run.append({**taken.record, "kind": "warmup", "profiled": profiled})
        if taken.record["status"] in GONE:
            raise UserError(f"warming up: {taken.record['error']}")
    return count + 1


async def measure_agents(
    run: CellRun, *, agents: int, prompt_tokens: int, output_tokens: int
) -> CellOutcome:
    """Measure N sequences at once, `repetitions` times with the profiler and without.

    The order within a repetition is random. Where nothing can be profiled, or a trace cannot be
    read, a record of kind `facts` says why, and the cell goes on without the profiler. A run that
    does not end well is a record and ends the cell.
    """
    (sut,) = run.suts
    if why := _not_testable(sut, agents, prompt_tokens + output_tokens):
        return CellOutcome(None, None, [], not_testable=why)
    driver, reasons, used = _driver(run), [], 0
    missing = driver.why_not
    if missing:
        run.append(_missing(missing))
    for repetition in range(run.effort.repetitions):
        for profiled in _order(run, agents, repetition):
            if profiled and missing:
                continue
            taken = await driver.run(run.first_index + used, agents, output_tokens, profiled)
            used += agents
            for record in (*taken.parts, taken.record):
                run.append({**record, "repetition": repetition, "profiled": profiled})
            reasons += taken.complaints
            status = taken.record["status"]
            if profiled:
                missing = _keep_traces(run, taken, repetition)
            if status in GONE or (status != "ok" and not profiled):
                return CellOutcome(None, None, reasons, prompts_used=used, restart=status in GONE)
    return CellOutcome(None, None, list(dict.fromkeys(reasons)), prompts_used=used)


def _keep_traces(run: CellRun, taken: "_Taken", repetition: int) -> str | None:
    """Append what the traces of a run say; why there is nothing to say, if so."""
    agents, why = taken.record["agents"], taken.profiler_missing
    if why is None and taken.record["status"] == "ok":
        try:
            for record in tracing.records_of(taken.traces, agents, taken.tokens_each):
                run.append({**record, "repetition": repetition})
        except UserError as error:
            why = str(error)
    else:
        for path in taken.traces:
            path.unlink(missing_ok=True)
        why = why or taken.record["error"]
    if why is not None:
        run.append(_missing(why))
    return why


class _Taken:
    """One run of N sequences: its record, those of its parts, its traces."""

    def __init__(self, agents: int, tokens_each: int) -> None:
        self.record: Record = {
            **{"kind": "run", "agents": agents, "tokens": agents * tokens_each},
            **{"started_s": None, "wall_s": None, "steps": None, "mean_batch": None},
            **{"status": "ok", "error": None},
        }
        self.tokens_each = tokens_each
        self.parts: list[Record] = []
        self.complaints: list[str] = []
        self.traces: list[Path] = []
        self.profiler_missing: str | None = None

    def failed(self, status: str, error: str) -> "_Taken":
        self.record |= {"status": status, "error": error}
        return self


class _Driver(Protocol):
    why_not: str | None

    async def run(self, first_index: int, agents: int, tokens: int, profiled: bool) -> _Taken:
        """Run N sequences at once, with prompts from `first_index` on."""


def _driver(run: BlockRun) -> _Driver:
    (sut,) = run.suts
    return _Worker(sut, run.effort) if isinstance(sut, InProcess) else _Server(sut, run.effort)


class _Worker:
    """Runs sequences in a worker, which times and profiles them itself."""

    def __init__(self, sut: InProcess, effort: Any) -> None:
        self.sut, self.effort = sut, effort
        self.why_not: str | None = None

    async def run(self, first_index: int, agents: int, tokens: int, profiled: bool) -> _Taken:
        taken = _Taken(agents, tokens)
        prompts = [
            prompt(self.sut, self.effort.prompt_tokens, first_index + k) for k in range(agents)
        ]
        try:
            answer = await self.sut.worker.run(prompts, tokens, profile=profiled)
        except WorkerGone as error:
            return taken.failed("gone", str(error).splitlines()[0])
        except WorkerTimeout as error:
            return taken.failed("timeout", str(error))
        copied = ("started_s", "wall_s", "steps", "status", "error")
        taken.record |= {name: answer[name] for name in copied}
        taken.record["mean_batch"] = _mean_batch(answer["batch_sizes"])
        taken.traces = [Path(path) for path in answer["traces"]]
        for sequence in answer["sequences"]:
            shown = {name: value for name, value in sequence.items() if name != "output_ids"}
            taken.parts.append({"kind": "sequence", "status": answer["status"], **shown})
        short = sum(sequence["tokens"] != tokens for sequence in answer["sequences"])
        if answer["status"] == "ok" and (short or len(answer["sequences"]) != agents):
            taken.complaints.append(f"{agents} sequences of {tokens} tokens each did not come")
        return taken


class _Server:
    """Sends N requests at once to a server, and has it profile itself where it can."""

    def __init__(self, sut: Served, effort: Any) -> None:
        self.sut, self.effort = sut, effort
        self.why_not: str | None = None
        if not isinstance(sut.stack, ProfiledServer):
            self.why_not = NOT_PROFILED.format(sut.sut.stack)
        elif not getattr(sut.settings, "profiler", True):
            self.why_not = "its setting `profiler` is off"

    async def run(self, first_index: int, agents: int, tokens: int, profiled: bool) -> _Taken:
        taken = _Taken(agents, tokens)
        if profiled:
            await self._profiler(taken, self._start)
        if taken.profiler_missing:
            return taken.failed("error", taken.profiler_missing)
        records = await asyncio.gather(
            *(self._one(first_index + k, k, tokens) for k in range(agents))
        )
        if profiled:
            await self._profiler(taken, self._stop)
        taken.parts = [{**record, "server": 0} for record in records]
        bad = next((record for record in records if record["status"] != "ok"), None)
        if bad:
            return taken.failed(bad["status"], bad["error"])
        started = min(record["sent_s"] for record in records)
        ended = max(record["done_s"] for record in records)
        taken.record |= {"started_s": started, "wall_s": round(ended - started, 6)}
        taken.complaints = _complaints(records)
        return taken

    async def _one(self, index: int, agent: int, tokens: int) -> Record:
        text = self.sut.prompts.prompt(self.effort.prompt_tokens, index)
        request = GenerationRequest(text, tokens, index)
        return await self.sut.client.generate(request, agent=agent, sequence=index)

    async def _start(self, taken: _Taken) -> None:
        client = self.sut.client
        await self.sut.stack.start_profile(client.http, client.base_url)  # type: ignore[attr-defined]

    async def _stop(self, taken: _Taken) -> None:
        client = self.sut.client
        taken.traces = await self.sut.stack.stop_profile(  # type: ignore[attr-defined]
            client.http, client.base_url, self.sut.settings
        )

    async def _profiler(self, taken: _Taken, act: Callable[[_Taken], Any]) -> None:
        try:
            await act(taken)
        except (UserError, aiohttp.ClientError, TimeoutError) as error:
            taken.profiler_missing = str(error) or type(error).__name__


def _order(run: CellRun, agents: int, repetition: int) -> list[bool]:
    """One profiled run and as many without as are needed, in random order."""
    tokens = agents * run.effort.output_tokens
    order = [True] + [False] * max(1, math.ceil(run.effort.plain_tokens / tokens))
    seed = f"{run.design.seed}/{run.block}/{run.first_index}/{agents}/{repetition}"
    random.Random(seed).shuffle(order)
    return order


def _mean_batch(sizes: dict[str, int] | None) -> float | None:
    """Sequences that a forward pass carried, on average."""
    if not sizes:
        return None
    return sum(int(size) * count for size, count in sizes.items()) / sum(sizes.values())


def _complaints(records: list[Record]) -> list[str]:
    """Requests whose work was not the work that was asked for."""
    found = []
    for record in records:
        if record["cached_tokens"]:
            found.append("a unique prompt was answered from a cache")
        for side in ("prompt", "output"):
            asked = record[f"{side}_tokens_asked"]
            came = record["prompt_tokens" if side == "prompt" else "completion_tokens"]
            if None not in (asked, came) and asked != came:
                found.append(f"{came} {side} tokens where {asked} were asked for")
    return list(dict.fromkeys(found))


def _missing(why: str) -> Record:
    """The record that says why there is no trace."""
    return {"kind": "facts", "profiler_missing": True, "error": why}


def _not_testable(sut: Any, agents: int, tokens: int) -> str | None:
    """Why a worker cannot run so many sequences of that length."""
    if not isinstance(sut, InProcess):
        return None
    facts = sut.properties
    if tokens > facts["context"]:
        return f"{tokens} tokens are beyond the model's context of {facts['context']}"
    most = facts.get("max_agents")
    if most is not None and agents > most:
        return f"{agents} sequences at once are beyond the worker's {most}"
    return None
