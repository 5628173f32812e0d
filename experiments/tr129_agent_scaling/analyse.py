"""TR129: from observations to findings. Blocks are the replicates throughout."""

from dataclasses import dataclass, field

import pandas as pd

from inferometer.analysis import Analysis, Ledger, judge
from inferometer.experiments import Experiment
from inferometer.load import summary
from inferometer.reporting.context import ValidityRow
from inferometer.stats import blocks, compare, intervals, power, scaling

LATENCY_PARTS = {
    "queue_wait": ("queue_wait_s", "waiting for a slot, HTTP and client"),
    "prefill": ("prefill_s", "server prefill"),
    "decode": ("decode_s", "server decode"),
}


@dataclass
class Scaling:
    """What the figures and verdicts need of one SUT besides its findings."""

    sut: str
    label: str
    cells: pd.DataFrame
    amdahl: scaling.AmdahlFit
    usl: scaling.UslFit
    power: scaling.PowerLawFit
    levels: list[int] = field(default_factory=list)

    def at(self, agents: int, column: str) -> pd.Series:
        """One value per block at N agents, indexed by block."""
        chosen = self.cells[self.cells["agents"] == agents]
        return chosen.set_index("block")[column].dropna()


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    verdicts, draw = experiment.step("verdicts"), experiment.step("draw")
    table = summary.cells(ledger.observations, ["agents", "think_ms"])
    suts = {}
    for sut in table["sut"].unique():
        label = experiment.design.suts[sut].label if sut in experiment.design.suts else sut
        suts[sut] = _scaling(ledger, table[table["sut"] == sut], sut, label or sut)
        _think(ledger, table[table["sut"] == sut], sut)
    _gains(ledger, suts)
    validity = _validity(ledger)
    tests = verdicts.tests(ledger, suts, table)
    return Analysis(
        verdicts=judge(experiment.design.hypotheses, tests) if depth != "quick" else [],
        decisions=verdicts.decisions(ledger, suts),
        figures=draw.figures(ledger, suts, table),
        validity=validity,
    )


def _scaling(ledger: Ledger, table: pd.DataFrame, sut: str, label: str) -> Scaling:
    """Everything about N at think time 0."""
    cells = table[table["think_ms"] == 0]
    records = {"n": cells["agents"], "x": cells["per_agent"], "block": cells["block"]}
    seen = Scaling(
        sut,
        label,
        cells,
        scaling.fit_amdahl(**records),
        scaling.fit_usl(cells["agents"], cells["throughput"], scale="log", block=cells["block"]),
        scaling.fit_power_law(cells["agents"], cells["throughput"], block=cells["block"]),
        sorted(int(level) for level in cells["agents"].unique()),
    )
    for level in seen.levels:
        _level(ledger, seen, level)
    _laws(ledger, seen, records)
    _replication(ledger, seen)
    return seen


def _where(sut: str | None, agents: list[int] | int | None = None, think_ms: float = 0) -> dict:
    where: dict = {"sut": sut, "think_ms": think_ms, "cell_valid": True}
    return where | ({"agents": agents} if agents is not None else {})


def _mean(
    ledger: Ledger,
    name: str,
    title: str,
    values: pd.Series,
    unit: str,
    where: dict,
    ceiling: float | None = None,
) -> None:
    """A finding that is a mean over blocks, with its t interval, cut at what is possible."""
    values = pd.Series(values).dropna()
    if values.empty:
        ledger.add(
            name,
            title,
            None,
            unit=unit,
            n=0,
            estimator="intervals.mean_of_blocks",
            where=where,
            reason="no block has a value: the server does not report it, or no request counts",
        )
        return
    seen = intervals.mean_of_blocks(values)
    ends = (seen.ci[0], min(seen.ci[1], ceiling)) if seen.ci and ceiling else seen.ci
    ledger.add(
        name,
        title,
        seen.estimate,
        unit=unit,
        ci=ends,
        n=seen.n,
        where=where,
        estimator="intervals.mean_of_blocks: mean over blocks, t interval",
        no_interval=seen.reason,
    )


def _level(ledger: Ledger, seen: Scaling, n: int) -> None:
    """Findings at one N."""
    sut, where = seen.sut, _where(seen.sut, n)
    means = {
        "throughput": ("total throughput", "throughput", "tokens/s"),
        "per_agent": ("throughput per agent", "per_agent", "tokens/s"),
        "jain": ("Jain's fairness index over agents", "jain", ""),
        "latency": ("latency of a request", "latency_s", "s"),
        "ttft": ("time to first token", "ttft_s", "s"),
        "tpot": ("time per output token after the first", "tpot_s", "s"),
        "server_rate": ("server's own decode rate of a request", "server_rate", "tokens/s"),
        **{k: (text, column, "s") for k, (column, text) in LATENCY_PARTS.items()},
    }
    for name, (title, column, unit) in means.items():
        top = 1.0 if name == "jain" else None  # no index is above equal shares
        _mean(
            ledger,
            f"{sut}.{name}.n{n}",
            f"{title} at N = {n}",
            seen.at(n, column),
            unit,
            where,
            top,
        )
    if n == 1:
        return
    pairs = pd.concat([seen.at(n, "per_agent"), seen.at(1, "per_agent")], axis=1, join="inner")
    if len(pairs) == 0:
        return
    eta = compare.ratio(pairs.iloc[:, 0], pairs.iloc[:, 1], paired=True)
    ledger.add(
        f"{sut}.eta.n{n}",
        f"efficiency per agent at N = {n}, against N = 1 of the same block",
        eta.ratio,
        ci=eta.ci,
        n=len(pairs),
        where=_where(sut, [1, n]),
        no_interval=eta.reason,
        estimator="compare.ratio, paired by block: geometric mean, t interval on logs",
    )


def _laws(ledger: Ledger, seen: Scaling, records: dict) -> None:
    """Amdahl, USL and power law on the same block records; saturation."""
    sut, fit, where = seen.sut, seen.amdahl, _where(seen.sut)
    shared = {"n": len(seen.cells), "n_of": "block records", "where": where}
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
    usl = seen.usl
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
    line = seen.power.loglog
    ledger.add(
        f"{sut}.power_exponent",
        "exponent of the total's power law in N",
        line.b,
        ci=line.ci_b,
        estimator="scaling.fit_power_law: log-log, t interval",
        no_interval=line.reason,
        **shared,
    )
    _choice(ledger, seen, records, shared)
    _saturation(ledger, seen, records, shared)


def _choice(ledger: Ledger, seen: Scaling, records: dict, shared: dict) -> None:
    chosen = scaling.select(**records)
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


def _saturation(ledger: Ledger, seen: Scaling, records: dict, shared: dict) -> None:
    found = scaling.saturation(**records)
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
        _whole(found.measured_n_star),
        estimator="first measured level with eta below one half",
        no_interval="a level of the design",
        reason="no measured N has an efficiency below one half",
        **shared,
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _replication(ledger: Ledger, seen: Scaling) -> None:
    """How requests hang together inside blocks, and what the design can see."""
    timed = summary.timings(ledger.observations)
    for n in (1, max(seen.levels)):
        chosen = timed[
            (timed["sut"] == seen.sut) & (timed["agents"] == n) & (timed["think_ms"] == 0)
        ]
        grouped = [group["latency_s"].to_numpy() for _, group in chosen.groupby("block")]
        if len(grouped) < 2:
            continue
        found = blocks.variance_components(grouped)
        common = {
            "n": found.n_blocks,
            "where": _where(seen.sut, n),
            "reason": found.reason,
            "estimator": "blocks.variance_components of request latencies",
            "no_interval": "a variance ratio, given to judge the intervals by",
        }
        ledger.add(
            f"{seen.sut}.icc.n{n}",
            f"intraclass correlation of latencies at N = {n}",
            found.icc,
            **common,
        )
        ledger.add(
            f"{seen.sut}.design_effect.n{n}",
            f"design effect at N = {n}",
            found.design_effect,
            **common,
        )
        ledger.add(
            f"{seen.sut}.naive_width.n{n}",
            f"width of the pooled interval over that of blocks at N = {n}",
            found.width_ratio,
            **common,
        )
    _detectable(ledger, seen)


def _detectable(ledger: Ledger, seen: Scaling) -> None:
    values = seen.at(max(seen.levels), "throughput")
    where = _where(seen.sut, max(seen.levels))
    cv = intervals.mean_of_blocks(values).cv if len(values) > 1 else None
    ledger.add(
        f"{seen.sut}.block_cv",
        f"spread of the total between blocks at N = {max(seen.levels)}",
        cv,
        n=len(values),
        where=where,
        estimator="standard deviation over mean of block values",
        no_interval="a spread, given to judge the intervals by",
        reason=FEW,
    )
    found = power.minimum_detectable(len(values), cv=cv) if len(values) >= 3 and cv else None
    ledger.add(
        f"{seen.sut}.detectable",
        "smallest ratio of two SUTs that this many blocks detect with power .8",
        found.ratio if found else None,
        n=len(values),
        where=where,
        estimator="power.minimum_detectable: noncentral t at the measured block spread",
        no_interval="a property of the design at the measured spread",
        reason=FEW,
    )


FEW = "needs at least 3 blocks"


def _think(ledger: Ledger, table: pd.DataFrame, sut: str) -> None:
    """Sustained and per-request rates by think time, told apart."""
    levels = sorted(table["think_ms"].unique())
    if len(levels) < 2:
        return
    agents = int(table[table["think_ms"] == levels[-1]]["agents"].iloc[0])
    for level in levels:
        chosen = table[(table["think_ms"] == level) & (table["agents"] == agents)].set_index(
            "block"
        )
        where = _where(sut, agents, float(level))
        tag = f"think{level:g}"
        _mean(
            ledger,
            f"{sut}.sustained.{tag}",
            f"sustained total throughput, think time {level:g} ms, N = {agents}",
            chosen["throughput"],
            "tokens/s",
            where,
        )
        _mean(
            ledger,
            f"{sut}.request_rate.{tag}",
            f"rate that one request sees, think time {level:g} ms, N = {agents}",
            chosen["request_rate"],
            "tokens/s",
            where,
        )


def _gains(ledger: Ledger, suts: dict[str, Scaling]) -> None:
    """Continuous batching against the serial server, at each N."""
    serial, batch = suts.get("llamacpp-serial"), suts.get("llamacpp-batch8")
    if serial is None or batch is None:
        return
    for n in sorted(set(serial.levels) & set(batch.levels)):
        a, b = batch.at(n, "throughput"), serial.at(n, "throughput")
        gain = compare.ratio(a, b)
        ledger.add(
            f"batching_gain.n{n}",
            f"total of continuous batching over that of the serial server at N = {n}",
            gain.ratio,
            ci=gain.ci,
            n=min(len(a), len(b)),
            no_interval=gain.reason,
            where=_where(None, n) | {"sut": [batch.sut, serial.sut]},
            estimator="compare.ratio: geometric means over blocks, Welch on logs",
        )


def _validity(ledger: Ledger) -> list[ValidityRow]:
    """Session-wide facts as findings, so that the report can quote them."""
    sessions = ledger.observations.drop_duplicates("session")
    count, how = len(sessions), "over the sessions' manifests"
    rows = []

    def add(name: str, title: str, value, unit: str = "", estimator: str = how) -> None:
        ledger.add(
            name,
            title,
            None if pd.isna(value) else value,
            unit=unit,
            n=count,
            n_of="sessions",
            where={},
            estimator=estimator,
            no_interval="a property of these sessions, not an estimate",
            reason="not reported by this machine",
        )
        rows.append(ValidityRow(label=title, finding=name))

    add(
        "inside_cells",
        "share of the sessions' wall time inside measured cells",
        sessions["session_cells_s"].sum() / sessions["session_wall_s"].sum(),
        estimator="total over total",
    )
    for load, text in (("streams", "8 streams"), ("rate", "20 requests/s")):
        for key, title, unit in (
            ("added_ttft_p50_s", f"client's own part of TTFT at {text}, median", "s"),
            ("added_ttft_p99_s", f"client's own part of TTFT at {text}, 99th percentile", "s"),
            ("schedule_lag_p99_s", f"lag behind the schedule at {text}, 99th percentile", "s"),
        ):
            column = f"session_{load}_{key}"
            if column in sessions:
                add(
                    f"client.{load}.{key.removesuffix('_s')}",
                    title,
                    sessions[column].median(),
                    unit,
                    "median over sessions",
                )
    add(
        "steal",
        "largest share of CPU time stolen during a session",
        sessions["session_steal_fraction"].max(),
        estimator="maximum over sessions",
    )
    add(
        "foreign_cpu",
        "largest share of CPU time of other processes during a session",
        sessions["session_foreign_cpu_fraction"].max(),
        estimator="maximum over sessions",
    )
    requests = ledger.observations
    ledger.add(
        "requests",
        "requests sent in measured cells",
        len(requests),
        n=len(requests),
        n_of="requests",
        where={},
        estimator="count",
        no_interval="a count",
    )
    failed = requests[requests["status"] != "ok"]
    ledger.add(
        "failed_requests",
        "requests that failed",
        len(failed),
        n=len(requests),
        n_of="requests",
        where={},
        estimator="count",
        no_interval="a count",
    )
    return [
        *rows,
        ValidityRow(label="requests sent", finding="requests"),
        ValidityRow(label="requests that failed", finding="failed_requests"),
    ]
