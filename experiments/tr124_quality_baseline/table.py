"""TR124: which rows are which SUT's, phase by phase."""

from dataclasses import dataclass

import pandas as pd

from inferometer.analysis import Where
from inferometer.design import Design
from inferometer.quality.benchmarks import BENCHMARKS
from inferometer.quality.tasks import TASKS

REFERENCE = "llamacpp"
INSIDE = "-inside"
ALONE, TOGETHER = 1, 8
"""Questions under way at a time: one, and a batch."""


@dataclass(frozen=True)
class Sut:
    """A SUT that was measured; `phases` are those of which it has valid rows."""

    name: str
    label: str
    phases: frozenset[str]


def suts(observations: pd.DataFrame, design: Design) -> dict[str, Sut]:
    """The measured SUTs, in the order of the design."""
    valid = observations[observations["cell_valid"].fillna(False).astype(bool)]
    phases = valid.groupby("sut")["phase"].agg(set)
    return {
        name: Sut(name, sut.label or name, frozenset(phases[name]))
        for name, sut in design.suts.items()
        if name in phases.index
    }


def having(found: dict[str, Sut], phase: str) -> list[str]:
    """The SUTs that have a phase."""
    return [name for name, sut in found.items() if phase in sut.phases]


def scores(sut: str | list[str], phase: str, **levels: object) -> Where:
    """Selects the scores of a SUT in a phase."""
    about: Where = {"kind": "score", "sut": sut, "phase": phase, "cell_valid": True}
    return about | levels  # type: ignore[operator]


def answers(sut: str | list[str], batch: int | list[int], repetition: int | list[int]) -> Where:
    """Selects the greedy answers of a SUT."""
    return scores(sut, "answers", batch=batch, repetition=repetition) | {"kind": "answer"}


def first(sut: str | list[str]) -> Where:
    """Selects the scores of a SUT's first answers, one question at a time."""
    return scores(sut, "answers", batch=ALONE, repetition=1)


def metrics(rows: pd.DataFrame) -> list[str]:
    """The metrics of the generation tasks, in the order of their names."""
    own = rows[rows["task"].isin(list(TASKS))]
    return sorted(own["metric"].dropna().unique())


def benchmarks(rows: pd.DataFrame) -> list[str]:
    """The public benchmarks that were asked, in the catalog's order."""
    there = set(rows["benchmark"].dropna()) if "benchmark" in rows else set()
    return [name for name in BENCHMARKS if name in there]
