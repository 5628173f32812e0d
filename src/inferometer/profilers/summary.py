"""Block-level summaries of profiled cells: one row per SUT, block and N, from observations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from inferometer.phases.summary import of_kind
from inferometer.profilers.amortization import Load

KEYS = ["sut", "block", "agents"]
COUNTS = ("operators", "kernels", "launches", "memory_operation_s")
"""Fields of a trace record that are totals; the summary has them per output token."""
LEVELS = ("busy_fraction", "gap_p50_s", "gap_p90_s", "gap_p99_s", "unknown_share")
"""Fields that are averaged over repetitions."""


@dataclass(frozen=True)
class Profile:
    """One SUT's summaries, and what its findings are entered with.

    `device` tells that its traces hold device work: then calls are kernels, else operators.
    """

    sut: str
    label: str
    runs: pd.DataFrame
    traces: pd.DataFrame
    classes: pd.DataFrame
    missing: tuple[str, ...]

    @property
    def levels(self) -> list[int]:
        """Every N with an unprofiled run that ended well."""
        good = self.runs[self.runs["rate"].notna()]
        return sorted(int(level) for level in good["agents"].unique())

    @property
    def traced(self) -> list[int]:
        """Every N with a trace."""
        return sorted(int(level) for level in self.traces["agents"].unique())

    @property
    def device(self) -> bool:
        """See the class."""
        return bool((self.traces["work"] == "device").any())

    @property
    def calls(self) -> str:
        """The kind of call that amortization counts."""
        return "kernels" if self.device else "operators"

    def at(self, agents: int, column: str) -> pd.Series:
        """A column of the runs at N, one value per block."""
        return _by_block(self.runs[self.runs["agents"] == agents], column)

    def eta(self, agents: int) -> pd.Series:
        """Per-agent rate at N over that at N = 1 of the same block."""
        return (self.at(agents, "per_agent") / self.at(1, "per_agent")).dropna()

    def trace_at(self, agents: int, column: str, phase: str = "all") -> pd.Series:
        """A column of the traces at N, of one phase of the work, one value per block."""
        kept = self.traces["agents"] == agents
        return _by_block(self.traces[kept & (self.traces["phase_of_work"] == phase)], column)

    def load(self, agents: int, block: int, phase: str = "all") -> Load | None:
        """Calls and tokens of a block's traces at N; None where it has none."""
        found = self.traces[
            (self.traces["agents"] == agents)
            & (self.traces["block"] == block)
            & (self.traces["phase_of_work"] == phase)
        ].dropna(subset=[f"total_{self.calls}", "tokens"])
        if found.empty:
            return None
        (row,) = found.to_dict("records")
        return Load(agents, round(row["tokens"] / agents), int(row[f"total_{self.calls}"]))

    def where(self, agents: int | list[int] | None = None, **more: Any) -> dict[str, Any]:
        """What selects the rows of this SUT (at N); of unprofiled runs unless `kind` differs."""
        found: dict[str, Any] = {"sut": self.sut, "cell_valid": True, "kind": "run"}
        if more.get("kind", "run") == "run":
            found["profiled"] = False
        return found | more | ({"agents": agents} if agents is not None else {})


def profiles(observations: pd.DataFrame, labels: dict[str, str]) -> dict[str, Profile]:
    """The summaries of every SUT with runs, by name in the order of `labels`."""
    valid = observations[observations["cell_valid"].fillna(False).astype(bool)]
    tables = [make(valid) for make in (runs, traces, classes)]
    facts = of_kind(valid, "facts").reindex(columns=["sut", "error"]).dropna()
    found = {}
    for sut, label in labels.items():
        ran, traced, by_class = (table[table["sut"] == sut] for table in tables)
        if not ran.empty:
            missing = tuple(facts.loc[facts["sut"] == sut, "error"].unique())
            found[sut] = Profile(sut, label, ran, traced, by_class, missing)
    return found


def runs(observations: pd.DataFrame) -> pd.DataFrame:
    """Rates and times of runs that ended well; unprofiled ones unless the column says otherwise.

    `rate` is tokens per second of all agents, tokens over seconds summed over repetitions,
    `per_agent` that over N, `s_per_token` its inverse. `unprofiled_s` and `profiled_s` are mean
    seconds of a run. `steps_per_token` are forward passes per output token, `mean_batch` the
    sequences that one carried: missing where nobody counted.
    """

    def row(group: pd.DataFrame) -> dict[str, Any]:
        plain = group[~group["profiled"].astype(bool)]
        seconds, tokens = plain["wall_s"].sum(), plain["tokens"].sum()
        agents = int(group["agents"].iloc[0])
        rate = tokens / seconds if seconds > 0 else np.nan
        return {
            **{"rate": rate, "per_agent": rate / agents, "s_per_token": 1 / rate},
            "tokens_each": group["tokens"].iloc[0] / agents,
            "unprofiled_s": plain["wall_s"].mean(),
            "profiled_s": group.loc[group["profiled"].astype(bool), "wall_s"].mean(),
            "steps_per_token": plain["steps"].sum(min_count=1) / tokens if tokens else np.nan,
            "mean_batch": plain["mean_batch"].mean(),
        }

    numbers = ("wall_s", "tokens", "steps", "mean_batch")
    found = _numeric(of_kind(observations, "run"), numbers)
    return _grouped(found[found["status"] == "ok"] if len(found) else found, KEYS, row)


def traces(observations: pd.DataFrame) -> pd.DataFrame:
    """What the traces of each phase of the work say, calls and seconds per output token.

    `total_*` are the totals of one block. Where a phase's tokens are not known, nothing per token
    is.
    """

    def row(group: pd.DataFrame) -> dict[str, Any]:
        tokens = group["tokens"].sum(min_count=len(group))
        totals = {name: group[name].sum(min_count=1) for name in COUNTS}
        return {
            **{"work": group["work"].iloc[0], "tokens": tokens},
            **{f"total_{name}": total for name, total in totals.items()},
            **{name: total / tokens for name, total in totals.items()},
            **{name: group[name].mean() for name in LEVELS},
            "max_concurrency": group["max_concurrency"].max(),
        }

    numbers = ("tokens", *COUNTS, *LEVELS, "max_concurrency")
    found = _numeric(of_kind(observations, "trace"), numbers)
    return _grouped(found, [*KEYS, "phase_of_work"], row, "work", *numbers)


def classes(observations: pd.DataFrame) -> pd.DataFrame:
    """Seconds and calls per output token of each class, over the whole run.

    Of device work where there is any, else of operators, each without its children.
    """
    whole = of_kind(observations, "trace")
    found = _numeric(of_kind(observations, "operation"), ("count", "self_s"))
    columns = [*KEYS, "class", "s_per_token", "calls"]
    if whole.empty or found.empty:
        return pd.DataFrame(columns=columns)
    whole = whole[whole["phase_of_work"] == "all"]
    about = whole.groupby(KEYS).agg(all_tokens=("tokens", "sum"), work=("work", "first"))
    found = found.drop(columns=["tokens", "work"], errors="ignore").merge(about, on=KEYS)
    wanted = {"host": ("operator",), "device": ("kernel", "memcpy", "memset")}
    kept = [
        kind in wanted[work]
        for kind, work in zip(found["operation_kind"], found["work"], strict=True)
    ]
    summed = found[kept].groupby([*KEYS, "class"], as_index=False).agg(
        seconds=("self_s", "sum"), count=("count", "sum"), tokens=("all_tokens", "first")
    )  # fmt: skip
    summed["s_per_token"] = summed["seconds"] / summed["tokens"].astype(float)
    summed["calls"] = summed["count"] / summed["tokens"].astype(float)
    return summed[columns]


def _grouped(
    found: pd.DataFrame,
    keys: list[str],
    row: Callable[[pd.DataFrame], dict[str, Any]],
    *columns: str,
) -> pd.DataFrame:
    """One row per group; an empty table has the columns that its users ask for."""
    if found.empty:
        return pd.DataFrame(columns=[*keys, "rate", *columns])
    rows = [
        dict(zip(keys, key, strict=True)) | row(group)
        for key, group in found.groupby(keys, observed=True, sort=True)
    ]
    return pd.DataFrame(rows)


def _numeric(found: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Columns as numbers; those that no session has are missing throughout."""
    found = found.copy()
    for name in names:
        found[name] = pd.to_numeric(found[name]) if name in found else np.nan
    return found


def _by_block(found: pd.DataFrame, column: str) -> pd.Series:
    if column not in found:
        return pd.Series(dtype=float)
    return pd.to_numeric(found.set_index("block")[column]).dropna()
