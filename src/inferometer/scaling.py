"""How the throughput of one SUT grows with the number of agents: from cells to findings.

Blocks are the replicates. Every finding is entered with the rows of the SUT that it came from;
the laws are those of `inferometer.stats.scaling`, on the same block records and the same scale.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from inferometer import entries
from inferometer.analysis import Ledger, Where
from inferometer.stats import scaling

MEANS = {
    "throughput": ("total throughput", "throughput", "tokens/s"),
    "per_agent": ("throughput per agent", "per_agent", "tokens/s"),
    "jain": ("Jain's fairness index over agents", "jain", ""),
    "latency": ("latency of a request", "latency_s", "s"),
    "ttft": ("time to first token", "ttft_s", "s"),
    "tpot": ("time per output token after the first", "tpot_s", "s"),
    "server_rate": ("server's own decode rate of a request", "server_rate", "tokens/s"),
    "queue_wait": ("waiting for a slot, HTTP and client", "queue_wait_s", "s"),
    "prefill": ("server prefill", "prefill_s", "s"),
    "decode": ("server decode", "decode_s", "s"),
}
"""Key of the finding -> (title, column of `load.summary.cells`, unit)."""
UNREPORTED = "no block has a value: the server does not report it, or no request counts"
FEWEST_LEVELS = 3
"""With fewer different N no law can be told from another."""


@dataclass
class Cells:
    """One SUT's cells over N.

    `cells` are rows of `load.summary.cells`, one a block and N; `where` selects the observations
    behind all of them.
    """

    sut: str
    label: str
    cells: pd.DataFrame
    where: Where

    @property
    def levels(self) -> list[int]:
        """Every N with a valid cell."""
        return sorted(int(level) for level in self.cells["agents"].unique())

    def at(self, agents: int, column: str) -> pd.Series:
        """One value per block at N agents, indexed by block."""
        chosen = self.cells[self.cells["agents"] == agents]
        return chosen.set_index("block")[column].dropna()

    def rows(self, agents: int | list[int] | None = None) -> Where:
        """What selects the observations (at some N)."""
        chosen: Any = agents
        return self.where | ({"agents": chosen} if agents is not None else {})


@dataclass
class Scaling(Cells):
    """One SUT's cells over N, and the laws fitted to them."""

    amdahl: scaling.AmdahlFit
    usl: scaling.UslFit
    power: scaling.PowerLawFit

    @property
    def records(self) -> dict[str, Any]:
        """Agents, throughput per agent and block of each record, as the laws take them."""
        cells = self.cells
        return {"n": cells["agents"], "x": cells["per_agent"], "block": cells["block"]}


def fitted(sut: str, label: str, cells: pd.DataFrame, where: Where) -> Scaling:
    """The laws on the block records; `ValueError` with fewer than three different N."""
    n, total, block = cells["agents"], cells["throughput"], cells["block"]
    return Scaling(
        sut,
        label,
        cells,
        where,
        scaling.fit_amdahl(n, cells["per_agent"], block=block),
        scaling.fit_usl(n, total, scale="log", block=block),
        scaling.fit_power_law(n, total, block=block),
    )


def enter_mean(
    ledger: Ledger,
    name: str,
    title: str,
    values: pd.Series,
    unit: str,
    where: Where,
    *,
    ceiling: float | None = None,
    notes: str | None = None,
) -> None:
    """A finding that is a mean over blocks, with its t interval, cut at what is possible.

    Everything that is entered here is at least 0; `ceiling` bounds it from above.
    """
    entries.mean(
        ledger,
        name,
        title,
        values,
        unit,
        where,
        reason=UNREPORTED,
        low=0.0,
        high=ceiling,
        notes=notes,
    )


def enter_level(ledger: Ledger, seen: Cells, n: int) -> None:
    """Means of one N, and the efficiency against N = 1 of the same block."""
    for name, (title, column, unit) in MEANS.items():
        top = 1.0 if name == "jain" else None  # no index is above equal shares
        enter_mean(
            ledger,
            f"{seen.sut}.{name}.n{n}",
            f"{title} at N = {n}",
            seen.at(n, column),
            unit,
            seen.rows(n),
            ceiling=top,
        )
    if n == 1:
        return
    pairs = entries.matched(seen.at(n, "per_agent"), seen.at(1, "per_agent"))
    if pairs[0].empty:
        return
    title = f"efficiency per agent at N = {n}, against N = 1 of the same block"
    entries.ratio(ledger, f"{seen.sut}.eta.n{n}", title, *pairs, seen.rows([1, n]), paired=True)


def enter_laws(ledger: Ledger, seen: Scaling) -> None:
    """Parameters of Amdahl's law, the USL and the power law, their comparison, saturation."""
    shared: dict[str, Any] = {"n": len(seen.cells), "n_of": "block records", "where": seen.where}
    _amdahl(ledger, seen, shared)
    _usl(ledger, seen, shared)
    line = seen.power.loglog
    ledger.add(
        f"{seen.sut}.power_exponent",
        "exponent of the total's power law in N",
        line.b,
        ci=line.ci_b,
        estimator="scaling.fit_power_law: log-log, t interval",
        no_interval=line.reason,
        **shared,
    )
    _choice(ledger, seen, shared)
    _saturation(ledger, seen, shared)


def _amdahl(ledger: Ledger, seen: Scaling, shared: dict[str, Any]) -> None:
    sut, fit = seen.sut, seen.amdahl
    how = "scaling.fit_amdahl: log scale, x1 free in each block, profile interval"
    ledger.add(
        f"{sut}.serial_fraction",
        "Amdahl's serial fraction s",
        fit.s,
        ci=fit.ci_profile,
        estimator=how,
        no_interval=fit.reason,
        notes=fit.caution,
        **shared,
    )
    ledger.add(
        f"{sut}.amdahl_limit",
        "limit of the speed-up by Amdahl's law, 1/s",
        fit.limit,
        ci=fit.limit_ci,
        estimator=how,
        no_interval=fit.reason,
        reason=fit.reason or "s = 0: no limit",
        **shared,
    )
    ledger.add(
        f"{sut}.amdahl_r2",
        "R² of Amdahl's law on the log scale (no evidence of fit)",
        fit.r2,
        estimator=how,
        no_interval="a descriptive number",
        reason=fit.reason,
        **shared,
    )
    ledger.add(
        f"{sut}.best_speedup",
        "best measured speed-up over N = 1",
        fit.best_speedup,
        estimator="largest cell mean of N times per-agent throughput over fitted x1",
        no_interval="a maximum over levels; the levels have intervals of their own",
        **shared,
    )
    lack = fit.lack_of_fit
    ledger.add(
        f"{sut}.amdahl_lack_of_fit_p",
        "p of Amdahl's lack of fit",
        lack.p,
        estimator="F test against the saturated cell means",
        no_interval="a p-value",
        reason=lack.reason,
        **shared,
    )


def _usl(ledger: Ledger, seen: Scaling, shared: dict[str, Any]) -> None:
    sut, usl = seen.sut, seen.usl
    how = "scaling.fit_usl: log scale, profile interval"
    for name, value in (("alpha", usl.alpha), ("beta", usl.beta)):
        what = {"alpha": "contention", "beta": "coherency"}[name]
        ledger.add(
            f"{sut}.usl_{name}",
            f"USL {what} {name}",
            value,
            ci=usl.ci_profile.get(name),
            estimator=how,
            no_interval=usl.reason,
            **shared,
        )
    ledger.add(
        f"{sut}.usl_peak_n",
        "N at the USL's peak",
        usl.peak_n,
        estimator=how,
        no_interval="a function of alpha and beta, whose intervals are given",
        reason=usl.reason or "beta = 0: the total has no peak",
        **shared,
    )


def _choice(ledger: Ledger, seen: Scaling, shared: dict[str, Any]) -> None:
    chosen = scaling.select(**seen.records)
    how = "scaling.select: AICc on the same records and scale"
    for row in chosen.rows:
        ledger.add(
            f"{seen.sut}.delta_aicc.{row.law}",
            f"AICc of the {row.law} law above the best",
            row.delta,
            estimator=how,
            no_interval="a descriptive number",
            reason=row.reason,
            **shared,
        )
    ledger.add(
        f"{seen.sut}.law",
        "law with the lowest AICc",
        chosen.best,
        estimator=how,
        no_interval="a choice; the differences of AICc are findings of their own",
        reason=chosen.reason,
        notes=f"not told apart: {', '.join(chosen.tied)}" if chosen.tied else None,
        **shared,
    )


def _saturation(ledger: Ledger, seen: Scaling, shared: dict[str, Any]) -> None:
    found = scaling.saturation(**seen.records)
    how = "scaling.saturation: Amdahl's law solved for N, interval of s carried over"
    ledger.add(
        f"{seen.sut}.n_star",
        "N*: the smallest N whose efficiency is below one half",
        found.n_star,
        ci=found.n_star_ci,
        estimator=how,
        no_interval=found.reason,
        reason=found.reason,
        **shared,
    )
    ledger.add(
        f"{seen.sut}.n90",
        "N at which the total reaches 90 % of Amdahl's limit",
        found.n_share,
        ci=found.n_share_ci,
        estimator=how,
        no_interval=found.reason,
        reason=found.reason,
        notes="beyond the measured N" if found.n_share_extrapolated else None,
        **shared,
    )
    ledger.add(
        f"{seen.sut}.n_star_measured",
        "smallest measured N whose efficiency is below one half",
        None if found.measured_n_star is None else int(found.measured_n_star),
        estimator="first measured level with eta below one half",
        no_interval="a level of the design",
        reason="no measured N has an efficiency below one half",
        **shared,
    )
