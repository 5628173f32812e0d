"""A cell of quality on a real SUT, with what it records; no session and no raw file around it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checkouts import REPOSITORY

from inferometer import design, environments
from inferometer.artifacts.catalog import shipped
from inferometer.design import Cell, Sut
from inferometer.quality.cells import measure
from inferometer.quality.measuring import QualityEffort
from inferometer.session import CellOutcome, CellRun
from inferometer.stacks.registry import stack_of
from inferometer.subjects import Plan, Subjects

DESIGN = design.load(REPOSITORY / "experiments/tr124_quality_baseline")
EFFORT = QualityEffort(
    items=2,
    sampled_items=2,
    texts=2,
    longest_answer=24,
    quota=1,
    min_s=0,
    prompt_tokens=8,
    output_tokens=8,
    deadline_s=60,
)


@dataclass
class Bench:
    """Running SUTs, and the cells that are measured on them."""

    running: Subjects
    data_dir: Path | None = None
    records: list[dict[str, Any]] = field(default_factory=list)

    async def measure(self, phase: str, **levels: Any) -> CellOutcome:
        """Measure one cell; its records alone are in `records` afterwards."""
        self.records.clear()
        run = CellRun(
            *(DESIGN, EFFORT, self.running.running, self.records.append),
            *(Cell(phase=phase, levels=levels), 0),
            root=REPOSITORY,
            data_dir=self.data_dir,
        )
        return await measure(run)

    def of(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """The records of a kind."""
        found = [one for one in self.records if one["kind"] == kind]
        return [one for one in found if wanted.items() <= one.items()]


def on(
    sut: Sut, folder: Path, test: Callable[[Bench], Awaitable[None]], data_dir: Path | None = None
) -> None:
    """Run a coroutine on a SUT and its companion, real processes that are stopped after it."""

    async def main() -> None:
        members = [sut.model_copy(update={"companion": None})]
        members += [sut.companion] if sut.companion else []
        for member in members:
            stack, settings = stack_of(member, "tests")
            environments.ensure(REPOSITORY, str(stack.environment_for(settings)))
        plan = Plan(
            root=REPOSITORY,
            where="tests",
            catalog=shipped(),
            members=members,
            seed="tests",
            log=folder / "server.log",
            clock_origin=time.monotonic(),
            limit_s=60,
        )
        async with Subjects(plan) as running:
            await running.start()
            await test(Bench(running, data_dir))

    asyncio.run(main())
