"""TR129 measures closed-loop cells: N agents with a think time."""

from inferometer.load.cell import ClosedLoopEffort as Effort
from inferometer.load.cell import measure_closed_loop as measure

__all__ = ["Effort", "measure"]
