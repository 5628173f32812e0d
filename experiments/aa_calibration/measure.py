"""The A/A check measures the same closed-loop cells as the agent experiments."""

from inferometer.load.cell import ClosedLoopEffort as Effort
from inferometer.load.cell import measure_closed_loop as measure
from inferometer.load.cell import warm_up

__all__ = ["Effort", "measure", "warm_up"]
