"""TR130 measures closed-loop cells: N agents whose requests have the lengths of a workload."""

from dataclasses import replace

from pydantic import Field

from inferometer.economics.blends import BLENDS
from inferometer.errors import NotTestableHere
from inferometer.load import cell as closed_loops
from inferometer.load.sse import DataLines
from inferometer.session import BlockRun, CellOutcome, CellRun
from inferometer.stacks.base import GenerationRequest
from inferometer.subjects import Served

FIXED = "fixed"
"""The level whose lengths are `prompt_tokens` and `output_tokens`; the others are blends."""

GREEDY_PROMPTS = (
    "The capital of France is Paris. The capital of Italy is",
    "Water boils at one hundred degrees, and it freezes at",
    "Once upon a time there was a little girl who lived in a",
    "To make bread you need flour, water, salt and",
)
"""The same for every SUT: what they answer shows whether they hold the same weights."""


class Effort(closed_loops.ClosedLoopEffort):
    """Work per cell; `request_tokens` are prompt and output together in a workload's request."""

    request_tokens: int = Field(ge=2)
    greedy_tokens: int = Field(ge=1)


def lengths(effort: Effort, workload: str) -> tuple[int, int]:
    """Prompt and output tokens; a workload's are its source's shares of `request_tokens`."""
    if workload == FIXED:
        return effort.prompt_tokens, effort.output_tokens
    output = max(1, round(effort.request_tokens * (1 - BLENDS[workload].input_share)))
    return effort.request_tokens - output, output


async def warm_up(run: BlockRun) -> int:
    """What the server is and answers greedily, then the declared number of requests."""
    for served in run.suts:
        run.append(_facts(served))
        for number, prompt in enumerate(GREEDY_PROMPTS):
            text = await _greedy(served, prompt, run.effort.greedy_tokens)
            run.append({"kind": "greedy", "prompt": number, "text": text})
    return await closed_loops.warm_up(run)


async def measure(run: CellRun) -> CellOutcome:
    """Drive the SUT with the cell's agents, without think time."""
    prompt, output = lengths(run.effort, str(run.cell.levels["workload"]))
    effort = run.effort.model_copy(update={"prompt_tokens": prompt, "output_tokens": output})
    cell = run.cell.model_copy(update={"levels": run.cell.levels | {"think_ms": 0}})
    return await closed_loops.measure_closed_loop(replace(run, effort=effort, cell=cell))


def _facts(served: Served) -> dict:
    """The weights that were served, by digest, and the precision that the server reports.

    A server by URL holds weights of its own.
    """
    artifact, said = served.artifact, served.server.read_back
    compiled = said.get("compiled") or {}
    precision = said.get("dtype") or compiled.get("INFERENCE_PRECISION_HINT")
    return {
        "kind": "facts",
        "stack": served.sut.stack,
        "artifact": artifact.name if artifact else None,
        "artifact_sha256": artifact.sha256 if artifact else None,
        "precision": str(precision or said.get("model_ftype") or "unknown"),
        "exact_prompts": served.prompts.exact,
    }


async def _greedy(served: Served, prompt: str, tokens: int) -> str:
    """The text of one answer at temperature 0; by token ids where the server can tokenize."""
    client, dialect = served.client, served.client.dialect
    try:
        ids = await dialect.tokenize(client.http, client.base_url, prompt)
    except NotTestableHere:
        ids = None
    path, content = dialect.request(GenerationRequest(ids or prompt, tokens, seed=0))
    headers = {"Connection": "close"} if dialect.closes_streams else None
    lines, text = DataLines(dialect.data_prefix), []
    async with client.http.post(client.base_url + path, json=content, headers=headers) as answer:
        answer.raise_for_status()
        async for chunk in answer.content.iter_any():
            events = (dialect.read_event(payload) for payload in lines.feed(chunk))
            text += [event.text for event in events if event is not None]
    return "".join(text)
