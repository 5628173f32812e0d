"""TR132 measures N sequences at once, each as a pair of a profiled and an unprofiled run."""

from inferometer.profilers.cell import ProfileEffort as Effort
from inferometer.profilers.cell import measure_agents, warm_up
from inferometer.session import CellOutcome, CellRun

__all__ = ["Effort", "measure", "warm_up"]


async def measure(run: CellRun) -> CellOutcome:
    """Measure the cell's number of agents."""
    return await measure_agents(
        run,
        agents=int(run.cell.levels["agents"]),
        prompt_tokens=run.effort.prompt_tokens,
        output_tokens=run.effort.output_tokens,
    )
