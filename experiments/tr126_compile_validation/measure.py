"""TR126 lets each sequence settle, which is where compiling happens, and times it afterwards."""

import random
from collections.abc import Callable
from typing import Any

from pydantic import Field

from inferometer.phases import cell
from inferometer.records import Record
from inferometer.session import BlockRun, CellOutcome, CellRun
from inferometer.stacks.worker import WorkerGone, WorkerTimeout
from inferometer.subjects import InProcess

TEXT_FACTS = ("device", "device_name", "dtype", "attention", "compile", "cache_kind")
LONG = ("kv_bytes_by_layer", "step_s")
ENDS = ("gone", "timeout")
"""Statuses after which the worker is of no more use."""


class Effort(cell.PhaseEffort):
    """Work per cell; at most `settle_uses` untimed uses of a sequence come before the timed."""

    settle_uses: int = Field(ge=1)


async def warm_up(run: BlockRun) -> int:
    """Say what the worker runs on, then use it for the first time: here it compiles.

    A crash is a record, and the block goes on: every cell lets its own sequence settle.
    """
    (sut,) = run.suts
    facts = {name: sut.properties.get(name) for name in TEXT_FACTS}
    run.append({"kind": "facts", **facts})
    for _ in range(run.design.warmup.requests):
        status = await _settle(run, sut, run.effort.warmup_tokens)
        if status != "ok":
            break
    return 0


async def measure(run: CellRun) -> CellOutcome:
    """Let the cell's sequence settle, then time `repetitions` of other prompts of that length."""
    (sut,) = run.suts
    prompt_tokens = int(run.cell.levels["prompt"])

    async def settle() -> CellOutcome | None:
        status = await _settle(run, sut, prompt_tokens)
        if status == "ok":
            return None
        return CellOutcome(None, None, [], restart=status in ENDS)

    return await cell.measure_generation(
        run,
        prompt_tokens=prompt_tokens,
        output_tokens=run.effort.output_tokens,
        cached=True,
        settle=settle,
    )


async def _settle(run: BlockRun, sut: InProcess, prompt_tokens: int) -> str:
    """Use one sequence until a use compiles nothing, at most `settle_uses` times.

    Every part of every use is a record of kind `compile`; the last use leaves its tokens in one of
    kind `output`. All SUTs of a model get the same prompt. Returns how the last use ended.
    """
    asked = {"prompt_tokens": prompt_tokens, "output_tokens_asked": run.effort.output_tokens}
    ids = shared_prompt(run.design.seed, prompt_tokens, sut.properties["vocabulary"])
    for use in range(run.effort.settle_uses):
        common: Record = {"kind": "compile", "use": use, **asked}
        try:
            answer = await sut.worker.generate(ids, run.effort.output_tokens)
        except (WorkerGone, WorkerTimeout) as error:
            status = "gone" if isinstance(error, WorkerGone) else "timeout"
            run.append({**common, "part": None, "status": status, "error": str(error)})
            return status
        _append_parts(run.append, common, answer["parts"])
        if answer["parts"][-1]["status"] != "ok":
            return str(answer["parts"][-1]["status"])
        if not any(part.get("compiled_in_region") for part in answer["parts"]):
            break
    outputs = " ".join(str(token) for token in answer["output_ids"])
    run.append({"kind": "output", **asked, "output_ids": outputs})
    return "ok"


def _append_parts(
    append: Callable[[Record], None], common: Record, parts: list[dict[str, Any]]
) -> None:
    for part in parts:
        append({**common, **{name: value for name, value in part.items() if name not in LONG}})


def shared_prompt(seed: int, length: int, vocabulary: int) -> list[int]:
    """Token ids that depend on the design and the length alone, so that outputs compare."""
    rng = random.Random(f"{seed}/shared/{length}")
    return [rng.randrange(1000, min(vocabulary, 40_000)) for _ in range(length)]
