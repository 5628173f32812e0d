"""TR127: from observations to findings. Blocks are the replicates throughout."""

from typing import Any

import numpy as np
import pandas as pd

from inferometer import validity
from inferometer.analysis import Analysis, Ledger, judge
from inferometer.experiments import Experiment
from inferometer.reporting.context import ValidityRow
from inferometer.stats import scaling

TITLES = {
    "prefill": ("prefill_s", "prefill"),
    "ttft": ("ttft_s", "time to first token"),
    "decode": ("decode_s", "time per token after the first"),
}


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Estimate everything the report says, judge the hypotheses, draw the figures."""
    names = ("entries", "table", "memory", "spill", "verdicts", "draw")
    entries, tables, memory, spill, verdicts, draw = (experiment.step(name) for name in names)
    table = tables.cells(ledger.observations)
    suts = {sut: _seen(experiment, entries, table, sut) for sut in table["sut"].unique()}
    for seen in suts.values():
        for context in seen.levels:
            _level(ledger, entries, seen, context)
        _growth(ledger, entries, seen)
        _decode_growth(ledger, entries, seen)
        if seen.worker:
            memory.findings(ledger, entries, seen)
    _artefact(ledger, entries, suts)
    _attention(ledger, entries, suts)
    spill.findings(ledger, suts, experiment.design)
    rows = _validity(ledger, table)
    tests = verdicts.tests(ledger, suts)
    return Analysis(
        verdicts=judge(experiment.design.hypotheses, tests) if depth != "quick" else [],
        decisions=verdicts.decisions(ledger, suts),
        figures=draw.figures(ledger, suts),
        validity=rows,
    )


def _seen(experiment: Experiment, entries: Any, table: pd.DataFrame, sut: str) -> Any:
    declared = experiment.design.suts.get(sut)
    cells = table[table["sut"] == sut]
    if declared is None:
        return entries.Context(sut, sut, {}, None, cells)
    return entries.Context(sut, declared.label or sut, declared.settings, declared.artifact, cells)


def _level(ledger: Ledger, entries: Any, seen: Any, context: int) -> None:
    """Times at one context, warm and cold; the server's cached tokens."""
    for name, (column, title) in TITLES.items():
        part = {"part": "decode" if name == "decode" else "prefill"} if seen.worker else {}
        for cold in (False, True):
            where = seen.where(context, **part, **seen.repetitions(warm=not cold))
            entries.mean(
                ledger,
                f"{seen.sut}.{name}{'_cold' if cold else ''}.c{context}",
                f"{title} at {context} tokens, {'first repetition' if cold else 'warm'}",
                seen.at(context, f"cold_{column}" if cold else column),
                "s",
                where,
            )
    if not seen.worker:
        entries.mean(
            ledger,
            f"{seen.sut}.cached.c{context}",
            f"prompt tokens taken from the prefix cache at {context} tokens, warm",
            seen.at(context, "cached_tokens"),
            "tokens",
            seen.where(context, **seen.repetitions(warm=True)),
        )


def _growth(ledger: Ledger, entries: Any, seen: Any) -> None:
    """Power law of prefill, its exponent between the two longest contexts, growth of decode."""
    levels = seen.timed
    if len(levels) < 2:
        return
    good = seen.cells[seen.cells["prefill_s"] > 0]
    seen.prefill = fit = scaling.fit_power_law(good["context"], good["prefill_s"], good["block"])
    where = seen.where(levels, **seen.repetitions(warm=True))
    shared: dict[str, Any] = {"n": len(good), "n_of": "block records", "where": where}
    ledger.add(
        f"{seen.sut}.exponent",
        "exponent of prefill in the context, log-log, each block its own level",
        fit.loglog.b,
        ci=fit.loglog.ci_b,
        estimator="scaling.fit_power_law: least squares on logarithms, t interval",
        no_interval=fit.loglog.reason,
        **shared,
    )
    curves = {
        block: scaling.fit_power_law(group["context"], group["prefill_s"]).additive.b
        for block, group in good.groupby("block")
        if group["context"].nunique() > 1
    }
    entries.mean(
        ledger,
        f"{seen.sut}.exponent_additive",
        "exponent of prefill in the context, on seconds",
        pd.Series(curves, dtype=float),
        "",
        where,
        estimator="scaling.fit_power_law, additive errors, in each block; mean over blocks",
    )
    ledger.add(
        f"{seen.sut}.exponent_lack_of_fit_p",
        "p of the power law's lack of fit",
        fit.lack_of_fit.p,
        estimator="F test of the log-log line against one mean per context",
        no_interval="a p-value",
        reason=fit.lack_of_fit.reason,
        **shared,
    )
    low, high = levels[-2:]
    both = np.log(seen.at(high, "prefill_s") / seen.at(low, "prefill_s")).dropna()
    entries.mean(
        ledger,
        f"{seen.sut}.exponent_last",
        f"exponent of prefill between {low} and {high} tokens",
        both / np.log(high / low),
        "",
        seen.where([low, high], **seen.repetitions(warm=True)),
    )


def _decode_growth(ledger: Ledger, entries: Any, seen: Any) -> None:
    good = seen.cells[seen.cells["decode_s"].notna()]
    levels = sorted(int(level) for level in good["context"].unique())
    if len(levels) < 2:
        return
    part = {"part": "decode"} if seen.worker else {}
    warm = part | seen.repetitions(warm=True)
    low, high = levels[0], levels[-1]
    entries.ratio(
        ledger,
        f"{seen.sut}.decode_growth",
        f"time per token at {high} tokens over that at {low}",
        seen.at(high, "decode_s"),
        seen.at(low, "decode_s"),
        seen.where([low, high], **warm),
        paired=True,
    )
    slopes = {
        block: np.polyfit(group["context"], group["decode_s"], 1)[0] * 1000
        for block, group in good.groupby("block")
        if group["context"].nunique() > 1
    }
    entries.mean(
        ledger,
        f"{seen.sut}.decode_slope",
        "growth of the time per token, for each 1,000 tokens of context",
        pd.Series(slopes, dtype=float),
        "s",
        seen.where(levels, **warm),
        estimator="least-squares line in each block; mean over blocks, t interval",
    )


def _common(a: Any, b: Any) -> list[int]:
    """Contexts that both SUTs have times at."""
    return sorted(set(a.timed) & set(b.timed)) if a and b else []


def _artefact(ledger: Ledger, entries: Any, suts: dict[str, Any]) -> None:
    """What repeating one text does: prefill of unique prompts over that of repeated ones."""
    unique: Any = suts.get("llamacpp")
    repeated: Any = suts.get("llamacpp-repeated")
    for context in _common(unique, repeated):
        entries.ratio(
            ledger,
            f"artefact.c{context}",
            f"prefill of unique prompts over that of a repeated one at {context} tokens",
            unique.at(context, "prefill_s"),
            repeated.at(context, "prefill_s"),
            unique.where(context, **unique.repetitions(warm=True))
            | {"sut": [unique.sut, repeated.sut]},
        )


def _attention(ledger: Ledger, entries: Any, suts: dict[str, Any]) -> None:
    """Eager attention against sdpa, for every model that was measured with both."""
    for eager in list(suts.values()):
        sdpa: Any = suts.get(eager.sut.replace("-eager", "-sdpa"))
        if sdpa is eager or eager.limited:
            continue
        for context in _common(eager, sdpa):
            for name, (column, title) in TITLES.items():
                part = "decode" if name == "decode" else "prefill"
                entries.ratio(
                    ledger,
                    f"{eager.sut}.{name}_over_sdpa.c{context}",
                    f"{title} with eager attention over that with sdpa at {context} tokens",
                    eager.at(context, column),
                    sdpa.at(context, column),
                    eager.where(context, part=part, **eager.repetitions(warm=True))
                    | {"sut": [eager.sut, sdpa.sut]},
                )


def _validity(ledger: Ledger, table: pd.DataFrame) -> list[ValidityRow]:
    """Session-wide facts and counts as findings, so that the report can quote them."""
    sessions = ledger.observations.drop_duplicates("session")
    cells_s, wall_s = sessions["session_cells_s"].sum(), sessions["session_wall_s"].sum()
    bad = ~table["status"].eq("ok")
    facts = [
        ("inside_cells", "share of the sessions' wall time inside cells", cells_s / wall_s),
        ("steal", "largest share of CPU time stolen", sessions["session_steal_fraction"].max()),
        (
            "foreign_cpu",
            "largest share of CPU time of other processes",
            sessions["session_foreign_cpu_fraction"].max(),
        ),
    ]
    if "session_streams_added_ttft_p50_s" in sessions:
        added = sessions["session_streams_added_ttft_p50_s"].median()
        facts.append(("client_ttft", "client's own part of TTFT, seconds, median", added))
    for name, title, value in facts:
        validity.fact(ledger, name, title, value, "over the sessions' manifests")
    counts = [("cells_measured", "cells measured", len(table))]
    for status in sorted(set(table.loc[bad, "status"])):
        title = f"cells that ended with the status `{status}`"
        counts.append((f"status.{status}", title, int((table["status"] == status).sum())))
    for name, title, value in counts:
        ledger.add(
            name,
            title,
            value,
            n=len(table),
            n_of="cells",
            where={},
            estimator="count",
            no_interval="a count",
        )
    return [ValidityRow(label=title, finding=name) for name, title, _ in [*facts, *counts]]
