"""TR123: from observations to findings. Blocks are the replicates throughout."""

from typing import Any

import pandas as pd

from inferometer.analysis import Analysis, Ledger, Where, judge
from inferometer.economics.estimate import Estimate
from inferometer.errors import UserError
from inferometer.experiments import Experiment
from inferometer.phases import summary
from inferometer.reporting.context import ValidityRow
from inferometer.stats import proportions

FACTORS = ["scenario", "kv_cache"]


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    names = ("entries", "costs", "ranking", "memory", "verdicts")
    entries, costs, ranking, memory, verdicts = (experiment.step(name) for name in names)
    suts = _suts(ledger, experiment, entries)
    for seen in suts.values():
        _phases(seen, entries)
        _cache(seen, entries)
        _outputs(seen)
    memory.findings(ledger, suts, entries)
    root = experiment.folder.parents[1]
    priced = costs.findings(ledger, suts, entries, root, _reference(experiment, depth))
    ranking.findings(ledger, suts, entries, priced, costs.WORKS)
    tests = verdicts.tests(ledger, suts, priced)
    return Analysis(
        verdicts=judge(experiment.design.hypotheses, tests) if depth != "quick" else [],
        decisions=verdicts.decisions(ledger, suts, priced),
        figures=experiment.step("draw").figures(ledger, suts, priced),
        validity=_validity(ledger),
        notes=priced.notes,
    )


def _suts(ledger: Ledger, experiment: Experiment, entries: Any) -> dict[str, Any]:
    """What was measured of each SUT, in the order of the design."""
    cells = summary.cells(_with_factors(ledger.observations), FACTORS)
    if cells.empty:
        raise UserError("tr123: the sessions hold no phase records; measure the scenarios first")
    windows = summary.windows(ledger.observations, ["scenario"])
    ceilings = summary.ceilings(ledger.observations)
    known = experiment.design.suts
    measured = [name for name in known if name in set(cells["sut"])]
    return {
        sut: entries.Seen(
            ledger=ledger,
            sut=sut,
            label=known[sut].label or sut,
            cells=cells[cells["sut"] == sut],
            windows=windows[windows["sut"] == sut],
            ceilings=ceilings[ceilings["sut"] == sut],
            facts=_numbers(ledger.observations, sut),
            words=_words(ledger.observations, sut),
        )
        for sut in measured
    }


def _with_factors(observations: pd.DataFrame) -> pd.DataFrame:
    return observations.assign(**{n: None for n in FACTORS if n not in observations})


def _numbers(observations: pd.DataFrame, sut: str) -> dict[str, float]:
    """Numbers that a worker reported of itself; the median where sessions differ."""
    rows = observations[observations["sut"] == sut].drop_duplicates("session")
    columns = [name for name in rows if str(name).startswith("sut_")]
    values = rows[columns].apply(pd.to_numeric, errors="coerce").median().dropna()
    return {str(name).removeprefix("sut_"): float(value) for name, value in values.items()}


def _words(observations: pd.DataFrame, sut: str) -> dict[str, Any]:
    rows = summary.of_kind(observations, "facts")
    rows = rows[rows["sut"] == sut]
    return {} if rows.empty else rows.iloc[0].dropna().to_dict()


def _reference(experiment: Experiment, depth: str) -> str:
    """The scenario that costs by blend rest on: that of the energy windows."""
    return str(experiment.design.plan(depth).phases["energy"]["scenario"][0])  # type: ignore[arg-type]


def _phases(seen: Any, entries: Any) -> None:
    """Latency and rate of each part in each scenario."""
    wanted = {
        "ttft": ("time to first token (prefill)", "ttft_s", "s", "prefill", False),
        "cold_ttft": ("time to first token, first repetition", "cold_ttft_s", "s", "prefill", True),
        "prefill_rate": (
            "tokens of prompt per second",
            "prefill_tokens_s",
            "tokens/s",
            "prefill",
            False,
        ),
        "decode": ("decode, all steps", "decode_s", "s", "decode", False),
        "tpot": ("time per decode step", "decode_s_per_token", "s", "decode", False),
        "cold_tpot": (
            *("time per decode step, first repetition", "cold_decode_s_per_token"),
            *("s", "decode", True),
        ),
        "decode_rate": ("decode steps per second", "decode_tokens_s", "tokens/s", "decode", False),
        "prefill_peak": ("peak memory of prefill", "prefill_peak_bytes", "B", "prefill", False),
        "decode_peak": ("peak memory of decode", "decode_peak_bytes", "B", "decode", False),
    }
    for scenario in seen.scenarios:
        for name, (title, column, unit, part, cold) in wanted.items():
            seen.enter(
                f"{name}.{entries.tag(scenario)}",
                f"{title}, scenario {scenario}",
                entries.mean(seen.at(scenario, column), unit),
                seen.where(scenario, part, cold=cold),
            )
        ratio = Estimate.of_ratio(
            seen.at(scenario, "decode_s_per_token"), seen.at(scenario, "prefill_s_per_token"), ""
        )
        seen.enter(
            f"decode_over_prefill.{entries.tag(scenario)}",
            f"time of a decode step over that of a token of prefill, scenario {scenario}",
            ratio,
            seen.where(scenario),
            estimator=entries.RATIO,
        )


def _cache(seen: Any, entries: Any) -> None:
    """Decode without the cache over decode with it, and where it begins to pay."""
    for scenario in seen.pairs:
        gain = Estimate.of_ratio(
            seen.at(scenario, "cold_decode_s_per_token", entries.OFF),
            seen.at(scenario, "cold_decode_s_per_token"),
            "",
        )
        where = seen.where(scenario, "decode", cold=True) | {"kv_cache": [entries.ON, entries.OFF]}
        shared = {"where": where, "estimator": entries.RATIO}
        title = f"time per decode step without the KV cache over that with it, scenario {scenario}"
        seen.enter(f"cache_gain.{entries.tag(scenario)}", title, gain, **shared)
        slow = entries.mean(seen.at(scenario, "cold_decode_s_per_token", entries.OFF), "s")
        title = f"time per decode step without the KV cache, scenario {scenario}"
        where = where | {"kv_cache": entries.OFF}
        seen.enter(f"tpot_uncached.{entries.tag(scenario)}", title, slow, where)
    _pays_from(seen, entries)


def _pays_from(seen: Any, entries: Any) -> None:
    """The shortest prompt from which on every paired scenario's interval lies above 1."""
    start: str | None = None
    for scenario in reversed(seen.pairs):
        interval = seen.ledger.findings[f"{seen.sut}.cache_gain.{entries.tag(scenario)}"].interval
        if interval is None or interval.low is None or interval.low <= 1:
            break
        start = scenario
    if not seen.pairs:
        return
    seen.ledger.add(
        f"{seen.sut}.cache_pays_from",
        "prompt from which on decode is faster with the KV cache in every paired scenario",
        None if start is None else int(start.partition("/")[0]),
        unit="tokens",
        n=len(seen.pairs),
        n_of="scenarios",
        where=seen.where(seen.pairs, "decode", cold=True) | {"kv_cache": [entries.ON, entries.OFF]},
        estimator="smallest paired prompt from which on every interval of the ratio lies above 1",
        no_interval="a level of the design",
        reason="at the longest paired prompt the interval does not lie above 1",
    )


def _outputs(seen: Any) -> None:
    """How often the cache left the output as it was, in the checks of the warm-up."""
    checks = summary.of_kind(seen.ledger.observations, "check")
    checks = checks[checks["sut"] == seen.sut] if len(checks) else checks
    where: Where = {"kind": "check", "sut": seen.sut}
    shared: dict[str, Any] = {"n_of": "checks", "where": where}
    title = "share of warm-up checks with the same output with and without the KV cache"
    name = f"{seen.sut}.same_output"
    if checks.empty:
        reason = "the warm-up made no check"
        seen.ledger.add(name, title, None, n=0, estimator="none", reason=reason, **shared)
        return
    same, n = int(checks["same_output"].astype(bool).sum()), len(checks)
    found = proportions.wilson(same, n)
    seen.ledger.add(
        name,
        title,
        same / n,
        ci=(found.low, found.high),
        n=n,
        estimator="proportions.wilson over checks, as if independent",
        **shared,
    )


def _validity(ledger: Ledger) -> list[ValidityRow]:
    """Session-wide facts as findings, so that the report can quote them."""
    sessions = ledger.observations.drop_duplicates("session")
    rows = []

    def add(
        name: str, title: str, value: Any, estimator: str, n: int, n_of: str, where: Where
    ) -> None:
        ledger.add(
            name,
            title,
            None if pd.isna(value) else value,
            n=n,
            n_of=n_of,
            where=where,
            estimator=estimator,
            no_interval="a property of these sessions, not an estimate",
            reason="not reported by this machine",
        )
        rows.append(ValidityRow(label=title, finding=name))

    of_sessions: tuple[int, str, Where] = (len(sessions), "sessions", {})
    inside = sessions["session_cells_s"].sum() / sessions["session_wall_s"].sum()
    title = "share of the sessions' wall time inside measured cells"
    add("inside_cells", title, inside, "total over total", *of_sessions)
    for name, title in (
        ("steal_fraction", "largest share of CPU time stolen during a session"),
        ("foreign_cpu_fraction", "largest share of CPU time of other processes during a session"),
    ):
        add(name, title, sessions[f"session_{name}"].max(), "maximum over sessions", *of_sessions)
    records = summary.of_kind(ledger.observations, "phase")
    of_records: tuple[int, str, Where] = (len(records), "records", {"kind": "phase"})
    add("records", "phase records", len(records), "count", *of_records)
    for status in ("oom", "error", "gone", "timeout"):
        count = int((records["status"] == status).sum())
        title = f"phase records with status {status}"
        where: Where = {"kind": "phase", "status": status}
        add(f"records_{status}", title, count, "count", len(records), "records", where)
    return rows
