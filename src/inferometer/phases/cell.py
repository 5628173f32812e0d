"""Cells of a worker: one sequence at a time, prefill and decode apart, energy over windows."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from inferometer.economics import context_memory
from inferometer.meters.energy import EnergyWindow
from inferometer.session import BlockRun, CellOutcome, CellRun
from inferometer.stacks.worker import WorkerGone, WorkerTimeout
from inferometer.subjects import InProcess

CAPACITY_SHARE = 0.9
"""A plan beyond this share of the memory is not tried: the machine itself would suffer."""

WARMUP_OUTPUT = 4
"""Tokens generated in each warm-up, once with the cache and once without."""


class PhaseEffort(BaseModel):
    """Work per cell: `repetitions` of one sequence, or windows of `window_s` for energy.

    `deadline_s` bounds one repetition. `ceiling_repetitions` is how often bandwidth and compute
    are measured at the start of a block, `idle_s` the idle window there, where energy is metered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    repetitions: int = Field(ge=1)
    deadline_s: float = Field(gt=0)
    output_tokens: int = Field(default=1, ge=1)
    """Where the design has no factor of that name."""
    warmup_tokens: int = Field(default=32, ge=2)
    ceiling_repetitions: int = Field(default=0, ge=0)
    idle_s: float = Field(default=5.0, ge=0)
    window_s: float = Field(default=8.0, gt=0)


async def warm_up(run: BlockRun) -> int:
    """Warm the worker up, then take what is measured once a block: ceilings and idle energy."""
    (sut,) = run.suts
    effort: PhaseEffort = run.effort
    for index in range(run.design.warmup.requests):
        ids = prompt(sut, effort.warmup_tokens, index)
        answers = [
            await sut.worker.generate(ids, WARMUP_OUTPUT, cache=cached) for cached in (True, False)
        ]
        run.append({"kind": "warmup", "parts": [answer["parts"] for answer in answers]})
        # the cache must change the time, and nothing else
        same = answers[0]["output_ids"] == answers[1]["output_ids"]
        run.append({"kind": "check", "same_output": same, "tokens": WARMUP_OUTPUT})
    if effort.ceiling_repetitions:
        for probe in await sut.worker.ceilings(repetitions=effort.ceiling_repetitions):
            run.append({"kind": "ceiling", **probe})
    if effort.idle_s and sut.meters.present:
        run.append(await _window(sut, "idle", effort.idle_s, [], 0))
    return run.design.warmup.requests


async def measure_generation(
    run: CellRun,
    *,
    prompt_tokens: int,
    output_tokens: int,
    cached: bool,
    settle: Callable[[], Awaitable[CellOutcome | None]] | None = None,
) -> CellOutcome:
    """Measure a sequence `repetitions` times, each with a prompt that nothing has seen before.

    Memory that runs out, a worker that is killed and a repetition beyond the deadline are records
    and end the cell; where the worker is gone, a new one takes the next cell. `settle` runs the
    sequence untimed beforehand: then repetitions count from 1, since none is cold. An outcome that
    it returns ends the cell.
    """
    (sut,) = run.suts
    if why := _not_testable(sut, prompt_tokens + output_tokens):
        return CellOutcome(None, None, [], not_testable=why)
    asked = {
        "cached": cached,
        "prompt_tokens": prompt_tokens,
        "output_tokens_asked": output_tokens,
    }
    if settle is not None and (ended := await settle()):
        return ended
    first = 0 if settle is None else 1
    for repetition in range(first, first + run.effort.repetitions):
        ids = prompt(sut, prompt_tokens, run.first_index + repetition)
        common = {"kind": "phase", "repetition": repetition, **asked}
        try:
            answer = await sut.worker.generate(ids, output_tokens, cache=cached)
        except (WorkerGone, WorkerTimeout) as error:
            status = "gone" if isinstance(error, WorkerGone) else "timeout"
            run.append({**common, "part": None, "status": status, "error": _first_line(error)})
            return CellOutcome(None, None, [], prompts_used=repetition + 1, restart=True)
        for part in answer["parts"]:
            held = prompt_tokens if part["part"] == "prefill" else prompt_tokens + output_tokens - 1
            run.append({**common, "context_end": held, **part, **_by_layer(part)})
        if answer["parts"][-1]["status"] != "ok":
            return CellOutcome(None, None, [], prompts_used=repetition + 1)
    return CellOutcome(None, None, [], prompts_used=run.effort.repetitions)


async def measure_energy(
    run: CellRun, *, part: str, prompt_tokens: int, output_tokens: int
) -> CellOutcome:
    """Keep one phase going for a window that is long enough for the meter."""
    (sut,) = run.suts
    if why := sut.meters.why_not:
        return CellOutcome(None, None, [], not_testable=why)
    if why := _not_testable(sut, prompt_tokens + output_tokens):
        return CellOutcome(None, None, [], not_testable=why)
    ids = prompt(sut, prompt_tokens, run.first_index)
    try:
        run.append(await _window(sut, part, run.effort.window_s, ids, output_tokens))
    except (WorkerGone, WorkerTimeout) as error:
        run.append({"kind": "window", "part": part, "status": "gone", "error": _first_line(error)})
        return CellOutcome(None, None, [], prompts_used=1, restart=True)
    return CellOutcome(None, None, [], prompts_used=1)


def prompt(sut: InProcess, length: int, index: int) -> list[int]:
    """Token ids of an exact length, another sequence for every index.

    Ids are drawn from the range that is text in every vocabulary here: speed does not depend on
    the words, and synthetic models have no tokenizer.
    """
    vocabulary = sut.properties["vocabulary"]
    rng = random.Random(f"{sut.seed}/{index}/{length}")
    return [rng.randrange(1000, min(vocabulary, 40_000)) for _ in range(length)]


async def _window(
    sut: InProcess, part: str, seconds: float, ids: list[int], output_tokens: int
) -> dict[str, Any]:
    """One window of a phase, or of idleness, with what the meter saw of it."""
    with sut.meters.sampling() as timeline:
        held = await sut.worker.hold(part, seconds, ids, output_tokens)
    seen: EnergyWindow = timeline.window(
        held["started_s"] + sut.worker.clock_origin,
        held["started_s"] + sut.worker.clock_origin + held["wall_s"],
    )
    return {"kind": "window", **held, **seen.to_record()}


def _by_layer(part: dict[str, Any]) -> dict[str, int]:
    """The smallest and the largest layer's KV bytes: lists do not become columns."""
    layers = part.get("kv_bytes_by_layer")
    return {"kv_layer_bytes_low": min(layers), "kv_layer_bytes_high": max(layers)} if layers else {}


def _first_line(error: Exception) -> str:
    """The reason alone; the last words of a process are in its log."""
    return str(error).splitlines()[0]


def _not_testable(sut: InProcess, tokens: int) -> str | None:
    """Why a sequence of that length cannot be tried, from facts and arithmetic alone."""
    facts = sut.properties
    if tokens > facts["context"]:
        return f"{tokens} tokens are beyond the model's context of {facts['context']}"
    if facts["memory_limit_mib"]:
        return None  # running into a declared limit is the measurement
    model = context_memory.of_worker(
        sut.sut.artifact or sut.sut.stack,
        facts,
        value_bytes=facts["kv_value_bytes"],
        device="cpu" if facts["device"] == "cpu" else "cuda",
        eager=facts["attention"] == "eager",
    )
    needed = context_memory.predict(model, tokens).peak
    room = CAPACITY_SHARE * facts["capacity_bytes"]
    if needed > room:
        return (
            f"{tokens} tokens need about {needed / 1e9:.1f} GB of the {room / 1e9:.1f} GB "
            f"({CAPACITY_SHARE:.0%} of the memory) that may be used"
        )
    return None
