"""Cells of quality with random weights; subjects are made up, nothing is started."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inferometer.artifacts.fetch import Fetched
from inferometer.quality import cells
from inferometer.session import CellOutcome


def run_on(phase: str, *artifacts: Fetched | None) -> Any:
    suts = [SimpleNamespace(artifact=one) for one in artifacts]
    return SimpleNamespace(cell=SimpleNamespace(phase=phase), suts=suts)


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The phases that were really measured."""
    seen: list[str] = []

    async def measured(run: Any) -> CellOutcome:
        seen.append(run.cell.phase)
        return CellOutcome(None, None, [])

    monkeypatch.setattr(cells, "PHASES", dict.fromkeys(cells.PHASES, measured))
    return seen


@pytest.mark.parametrize("phase", cells.PHASES)
def test_random_weights_have_a_speed_and_no_quality(phase: str, reached: list[str]) -> None:
    real = Fetched("smollm2", Path("model"), "0" * 64, 1)
    random = Fetched("gpt2-synthetic", Path("model"), "0" * 64, 1, performance_only=True)
    assert asyncio.run(cells.measure(run_on(phase, real, None))).not_testable is None
    outcome = asyncio.run(cells.measure(run_on(phase, real, random)))
    if phase == "speed":
        assert outcome.not_testable is None
    else:
        assert "gpt2-synthetic has random weights" in str(outcome.not_testable)
    assert reached == [phase] * (2 if phase == "speed" else 1)
