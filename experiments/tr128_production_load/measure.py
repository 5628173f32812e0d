"""TR128 measures the capacity of a block, then open loops at shares of it, and conversations."""

from inferometer.load.cell import warm_up
from inferometer.load.conversations import measure_conversations
from inferometer.load.hold import measure_hold
from inferometer.load.open_cell import OpenLoopEffort as Effort
from inferometer.load.open_cell import measure_capacity, measure_open_loop
from inferometer.session import CellOutcome, CellRun

__all__ = ["Effort", "measure", "warm_up"]


async def measure(run: CellRun) -> CellOutcome:
    """Measure one cell of the phase that it belongs to."""
    levels = run.cell.levels
    match run.cell.phase:
        case "capacity":
            return await measure_capacity(run)
        case "hold":
            return await measure_hold(run)
        case "streaming":
            return await measure_open_loop(run, stream=levels["answer"] == "stream")
        case "turns":
            history, _, window = str(levels["history"]).partition("-")
            turns = int(levels["turns"])
            return await measure_conversations(
                run, turns=turns, history=history, window=int(window or turns)
            )
        case _:
            return await measure_open_loop(run, arrivals=str(levels["arrivals"]))
