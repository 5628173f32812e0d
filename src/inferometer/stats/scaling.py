"""Scaling of throughput with the number of agents: laws, their comparison, saturation.

Efficiency per agent is ``eta(N) = x_N / x_1``; the speed-up is ``N eta(N)``. Amdahl's serial
fraction s gives ``eta(N) = 1/(1 + s(N-1))`` and a limit of ``1/s``.
"""

from inferometer.stats.amdahl import AmdahlFit, LackOfFit, fit_amdahl
from inferometer.stats.law_selection import LawRow, LawTable, select
from inferometer.stats.least_squares import CurveFit, fit_curve
from inferometer.stats.power_law import PowerLaw, PowerLawFit, fit_power_law
from inferometer.stats.saturation import Efficiency, Saturation, efficiency, saturation
from inferometer.stats.usl import UslFit, fit_usl

__all__ = [
    "AmdahlFit",
    "CurveFit",
    "Efficiency",
    "LackOfFit",
    "LawRow",
    "LawTable",
    "PowerLaw",
    "PowerLawFit",
    "Saturation",
    "UslFit",
    "efficiency",
    "fit_amdahl",
    "fit_curve",
    "fit_power_law",
    "fit_usl",
    "saturation",
    "select",
]
