"""TR123: one SUT as its blocks saw it, and how an estimate becomes a finding."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from inferometer import entries
from inferometer.analysis import Ledger, Where
from inferometer.economics.estimate import Estimate
from inferometer.economics.work import PhaseBlock

ON, OFF = "on", "off"
RATIO = "ratio of geometric means, paired by block, t interval on logs"
NOTHING = "no block has a value here"


@dataclass
class Seen:
    """One SUT: its block-level table, energy windows and ceilings, and what it says of itself."""

    ledger: Ledger
    sut: str
    label: str
    cells: pd.DataFrame
    windows: pd.DataFrame
    ceilings: pd.DataFrame
    facts: dict[str, float]
    """Numbers that the worker reported of itself, without the prefix `sut_`."""
    words: dict[str, Any]
    """Texts that it reported: device, precision, and why no meter is there."""

    @property
    def scenarios(self) -> list[str]:
        """Scenarios measured with the cache, by prompt and then by output length."""
        return sorted(self._named(ON), key=_lengths)

    @property
    def pairs(self) -> list[str]:
        """Scenarios measured with and without the cache."""
        return sorted(self._named(ON) & self._named(OFF), key=_lengths)

    def at(self, scenario: str, column: str, kv_cache: str = ON) -> dict[int, float]:
        """One value per block of a scenario; blocks without one are left out."""
        chosen = self.cells[
            (self.cells["scenario"] == scenario) & (self.cells["kv_cache"] == kv_cache)
        ]
        values = pd.to_numeric(chosen.set_index("block")[column]).dropna()
        return {int(block): float(value) for block, value in values.items()}  # type: ignore[call-overload]

    def blocks(self, scenario: str) -> dict[int, PhaseBlock]:
        """Seconds and joules per token of the blocks in which both parts ended well."""
        prefill = self.at(scenario, "prefill_s_per_token")
        decode = self.at(scenario, "decode_s_per_token")
        joules = {part: self._joules(scenario, part) for part in ("prefill", "decode")}
        idle = self._power()
        return {
            block: PhaseBlock(
                prefill[block],
                decode[block],
                joules["prefill"].get(block),
                joules["decode"].get(block),
                idle.get(block),
            )
            for block in sorted(prefill.keys() & decode.keys())
        }

    def where(
        self, scenario: str | list[str], part: str | None = None, *, cold: bool = False
    ) -> Where:
        """The phase records behind a number: of a scenario, with the cache, and of one part."""
        where: Where = {"kind": "phase", "sut": self.sut, "status": "ok", "cell_valid": True}
        where |= {"scenario": scenario, "kv_cache": ON}  # type: ignore[dict-item]
        where |= {"part": part} if part else {}
        warm = _warm(self.ledger.observations)
        return where | {"repetition": [0] if cold or not warm else warm}  # type: ignore[dict-item]

    def enter(self, name: str, title: str, seen: Estimate, where: Where, **more: Any) -> None:
        """Enter an estimate of this SUT under `<sut>.<name>`."""
        enter(self.ledger, f"{self.sut}.{name}", title, seen, where, **more)

    def _named(self, kv_cache: str) -> set[str]:
        return set(self.cells.loc[self.cells["kv_cache"] == kv_cache, "scenario"])

    def _joules(self, scenario: str, part: str) -> dict[int, float]:
        chosen = self.windows[
            (self.windows["scenario"] == scenario) & (self.windows["part"] == part)
        ]
        return _by_block(chosen, "joules_per_token")

    def _power(self) -> dict[int, float]:
        return _by_block(self.windows[self.windows["part"] == "idle"], "mean_power_w")


def enter(ledger: Ledger, name: str, title: str, seen: Estimate, where: Where, **more: Any) -> None:
    """Enter an estimate as a finding.

    Times, costs, bytes and ratios are not below 0, so their intervals are cut there.
    """
    ends = seen.ci and tuple(None if end is None else max(0.0, end) for end in seen.ci)
    entries.estimate(ledger, name, title, seen, where, **{"ci": ends} | more)


def mean(values: dict[int, float], unit: str) -> Estimate:
    """Mean over blocks; undefined where no block has a value."""
    return Estimate.of_blocks(list(values.values()), unit) if values else missing(NOTHING, unit)


def missing(reason: str, unit: str = "") -> Estimate:
    """A quantity that cannot be had here, and why."""
    return Estimate.undefined(reason, unit)


def scaled(seen: Estimate, factor: float, unit: str) -> Estimate:
    """The same estimate in another unit."""
    ci = None if seen.ci is None else tuple(None if e is None else e * factor for e in seen.ci)
    value = None if seen.value is None else seen.value * factor
    return replace(seen, value=value, ci=ci, unit=unit)  # type: ignore[arg-type]


def tag(scenario: str) -> str:
    """A scenario as part of a finding's name."""
    return scenario.replace("/", "-")


def _lengths(scenario: str) -> tuple[int, int]:
    prompt, _, generated = scenario.partition("/")
    return int(prompt), int(generated)


def _by_block(rows: pd.DataFrame, column: str) -> dict[int, float]:
    values = pd.to_numeric(rows[column]).groupby(rows["block"]).mean().dropna()
    return {int(block): float(value) for block, value in values.items()}  # type: ignore[call-overload]


def _warm(observations: pd.DataFrame) -> list[int]:
    seen = pd.to_numeric(observations["repetition"]).dropna().unique()
    return sorted(int(value) for value in seen if value > 0)
