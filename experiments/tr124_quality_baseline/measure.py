"""TR124 asks every item of each runtime, once; speed and log-probabilities apart."""

from inferometer.quality.cells import measure, prepare, warm_up
from inferometer.quality.measuring import QualityEffort as Effort

__all__ = ["Effort", "measure", "prepare", "warm_up"]
