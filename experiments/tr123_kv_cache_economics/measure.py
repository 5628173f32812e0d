"""TR123 measures scenarios with and without the KV cache, and energy over windows."""

from dataclasses import replace
from datetime import UTC, datetime

from pydantic import Field

from inferometer.errors import UserError
from inferometer.phases import cell
from inferometer.session import BlockRun, CellOutcome, CellRun

TEXT_FACTS = ("device", "device_name", "dtype", "attention", "compile", "cache_kind")
ON, OFF = "on", "off"


class Effort(cell.PhaseEffort):
    """Work per cell; without the cache every step is long, so `uncached_repetitions` do."""

    uncached_repetitions: int = Field(ge=1)


async def warm_up(run: BlockRun) -> int:
    """Say what the worker runs on and what meters it, then warm up as every worker does."""
    (sut,) = run.suts
    facts = {name: sut.properties.get(name) for name in TEXT_FACTS}
    why_not = None if sut.meters.present else sut.meters.why_not
    today = datetime.now(UTC).date().isoformat()
    run.append({"kind": "facts", **facts, "meter_missing": why_not, "measured_on": today})
    return await cell.warm_up(run)


async def measure(run: CellRun) -> CellOutcome:
    """Measure a scenario with or without the cache, or an energy window of one of its parts."""
    levels = run.cell.levels
    prompt_tokens, output_tokens = lengths(str(levels["scenario"]))
    if "energy_part" in levels:
        return await cell.measure_energy(
            run,
            part=str(levels["energy_part"]),
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
        )
    cached = _cached(levels["kv_cache"])
    effort = run.effort
    if not cached:
        effort = effort.model_copy(update={"repetitions": effort.uncached_repetitions})
    return await cell.measure_generation(
        replace(run, effort=effort),
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        cached=cached,
    )


def lengths(scenario: str) -> tuple[int, int]:
    """Prompt and generated tokens of a level such as `512/256`."""
    prompt, slash, generated = scenario.partition("/")
    if not (slash and prompt.isdecimal() and generated.isdecimal()):
        raise UserError(
            f"tr123: scenario {scenario!r} is not prompt/generated; use a level such as 512/256"
        )
    if int(prompt) < 1 or int(generated) < 2:
        raise UserError(
            f"tr123: scenario {scenario!r} leaves a part empty; give at least one prompt token and "
            "two generated ones, of which the first comes from prefill"
        )
    return int(prompt), int(generated)


def _cached(level: object) -> bool:
    if level not in (ON, OFF):
        raise UserError(f"tr123: kv_cache {level!r} is unknown; use {ON!r} or {OFF!r}, in quotes")
    return level == ON
