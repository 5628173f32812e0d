"""TR127 measures one context per cell: a sequence in a worker, or a request to a server."""

from dataclasses import replace

from pydantic import Field

from inferometer.load.single_stream import measure_single_stream
from inferometer.phases import cell
from inferometer.phases.cell import PhaseEffort, measure_generation
from inferometer.session import BlockRun, CellOutcome, CellRun
from inferometer.stacks.base import GenerationRequest
from inferometer.subjects import InProcess


class Effort(PhaseEffort):
    """Work per cell; `longest_prompt` tokens has the text that repeated prompts are cut from."""

    longest_prompt: int = Field(ge=1)


async def warm_up(run: BlockRun) -> int:
    """Warm a worker up as every worker, a server by requests one after the other."""
    (sut,) = run.suts
    if isinstance(sut, InProcess):
        return await cell.warm_up(run)
    for index in range(run.design.warmup.requests):
        ids = sut.prompts.prompt(run.effort.warmup_tokens, index)
        request = GenerationRequest(ids, run.effort.output_tokens, index)
        record = await sut.client.generate(request, agent=0, sequence=index)
        run.append(record | {"kind": "warmup"})
    return run.design.warmup.requests


async def measure(run: CellRun) -> CellOutcome:
    """Measure the cell's context.

    A server with its prefix cache on gets one text again and again, every other one unique
    prompts. A server under a memory limit is started anew for each cell: its buffers keep the
    pages that the longest prompt before has touched.
    """
    (sut,) = run.suts
    context, output = int(run.cell.levels["context"]), run.effort.output_tokens
    if isinstance(sut, InProcess):
        return await measure_generation(
            run, prompt_tokens=context, output_tokens=output, cached=True
        )
    repeated = getattr(sut.settings, "prefix_cache", False)
    outcome = await measure_single_stream(
        run,
        prompt_tokens=context,
        output_tokens=output,
        prompts="repeated" if repeated else "unique",
    )
    limited = getattr(sut.settings, "memory_limit_mib", None) is not None
    return replace(outcome, restart=True) if limited else outcome
