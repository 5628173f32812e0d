"""TR129 measures closed-loop cells: N agents with a think time."""

from inferometer.load.cell import ClosedLoopEffort as Effort
from inferometer.load.cell import measure_closed_loop as measure
from inferometer.load.cell import warm_up

__all__ = ["Effort", "measure", "warm_up"]
