"""A cell of single requests: one after the other, so that a server's phases are seen alone."""

from typing import Any, Literal

from inferometer.load.client import StreamingClient
from inferometer.meters import memory
from inferometer.records import Record
from inferometer.session import CellOutcome, CellRun
from inferometer.stacks.base import GenerationRequest

Prompts = Literal["unique", "repeated"]


async def measure_single_stream(
    run: CellRun, *, prompt_tokens: int, output_tokens: int, prompts: Prompts
) -> CellOutcome:
    """Send `repetitions` requests, each after the end of the one before.

    `unique` prompts share nothing with any other: a request that the server answered from its
    prefix cache makes the cell invalid. `repeated` prompts are one text cut to length, the same in
    every repetition, as in studies whose prefill is a cache lookup. A server that ends or does not
    answer is a record and gets a new life before the next cell. After the last request a record of
    kind `memory` tells what the server holds, and the pages it read from the disk in this cell.
    """
    (sut,) = run.suts
    reasons: list[str] = []
    used = 0
    before = memory.usage(sut.server.processes())
    for repetition in range(run.effort.repetitions):
        if prompts == "unique":
            text = sut.prompts.prompt(prompt_tokens, run.first_index + used)
            used += 1
        else:
            text = sut.prompts.prompt(run.effort.longest_prompt, 0)[:prompt_tokens]
        record = await _one(sut.client, text, output_tokens, repetition)
        run.append(record)
        if record["status"] != "ok":
            return CellOutcome(None, None, reasons, prompts_used=used, restart=True)
        if prompts == "unique" and record["cached_tokens"]:
            reasons.append(f"{record['cached_tokens']} tokens of a unique prompt were cached")
        if record["prompt_tokens"] != prompt_tokens:
            reasons.append(f"the prompt had {record['prompt_tokens']} tokens, not {prompt_tokens}")
        if record["completion_tokens"] != output_tokens:
            reasons.append(f"{record['completion_tokens']} tokens came, not {output_tokens}")
    after = memory.usage(sut.server.processes())
    faults = after["major_faults"] - before["major_faults"]
    run.append({"kind": "memory", **after, "major_faults": faults})
    return CellOutcome(None, None, list(dict.fromkeys(reasons)), prompts_used=used)


async def _one(client: StreamingClient, text: Any, output_tokens: int, repetition: int) -> Record:
    request = GenerationRequest(text, output_tokens, repetition)
    record = await client.generate(request, agent=0, sequence=repetition)
    return {**record, "server": 0}
