"""Findings of a profiled SUT: rates, calls, time by class, amortization, and its artefact."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from inferometer import entries
from inferometer.analysis import Ledger
from inferometer.economics import kv
from inferometer.economics.memory import kv_bytes
from inferometer.entries import PAIRED, UNPAIRED, matched, spread
from inferometer.errors import UserError
from inferometer.profilers.amortization import Load, amortization, denominator
from inferometer.profilers.summary import Profile
from inferometer.stats import intervals

ABSENT = "no block has a value: it did not end well, or it was not traced"
MIXED = "its tokens are not known: steps carry prefill and decode together"
NO_DEVICE = "not testable here: no device was traced, its work has no kernels"
NO_COUNTERS = "not testable here: no hardware counter of memory traffic is read on this machine"
MOST_CLASSES = 8
LOADS = (0, 1, 10, 100)
"""Constant work added to both traces of the artefact, in calls of the larger one."""


mean = partial(entries.mean, reason=ABSENT)


def ratio(
    ledger: Ledger,
    name: str,
    title: str,
    a: pd.Series,
    b: pd.Series,
    where: dict,
    paired: bool = False,
) -> None:
    """Enter a ratio of block values; nothing where a side has no blocks.

    Counts that are the same in every block have no spread: their ratio is given without interval.
    """
    if paired:
        a, b = matched(a, b)
    if a.empty or b.empty:
        return
    if len(a) == 1 or spread(a, b, paired) != 0:
        entries.ratio(ledger, name, title, a, b, where, paired=paired)
        return
    ledger.add(
        name,
        title,
        float(np.exp(np.log(a).mean() - np.log(b).mean())),
        n=min(len(a), len(b)),
        where=where,
        no_interval=intervals.CONSTANT,
        estimator=PAIRED if paired else UNPAIRED,
    )


def rates(ledger: Ledger, seen: Profile) -> None:
    """Total and per-agent rate, efficiency against N = 1, cost of profiling, steps, batch."""
    for n in seen.levels:
        where = seen.where(n)
        for name, title, unit in (
            ("rate", "total rate", "tokens/s"),
            ("per_agent", "rate per agent", "tokens/s"),
            ("s_per_token", "time per token of the whole run", "s"),
        ):
            text = f"{title} at N = {n}, unprofiled"
            mean(ledger, f"{seen.sut}.{name}.n{n}", text, seen.at(n, name), unit, where)
        if len(batch := seen.at(n, "mean_batch")):
            title = f"sequences in a forward pass at N = {n}"
            mean(ledger, f"{seen.sut}.mean_batch.n{n}", title, batch, "sequences", where)
        if n > 1:
            _against_one(ledger, seen, n)
        ratio(
            ledger,
            f"{seen.sut}.overhead.n{n}",
            f"time of a profiled run over that of its unprofiled twin at N = {n}",
            seen.at(n, "profiled_s"),
            seen.at(n, "unprofiled_s"),
            seen.where(n, profiled=[True, False]),
            paired=True,
        )


def _against_one(ledger: Ledger, seen: Profile, n: int) -> None:
    for name, title, column in (
        ("eta", "share of its speed that an agent keeps", "per_agent"),
        ("gain", "growth of the total rate", "rate"),
    ):
        ratio(
            ledger,
            f"{seen.sut}.{name}.n{n}",
            f"{title} at N = {n}, against N = 1 of the same block",
            seen.at(n, column),
            seen.at(1, column),
            seen.where([1, n]),
            paired=True,
        )


def calls(ledger: Ledger, seen: Profile) -> None:
    """Calls per output token, busy time, gaps, concurrency and memory operations of the traces."""
    quantities = [("operators", "operators per output token", "")]
    if seen.device:
        quantities += [
            ("kernels", "kernels per output token", ""),
            ("launches", "launches per output token", ""),
            ("memory_operation_s", "time in memory operations per output token", "s"),
        ]
    for n in seen.traced:
        for phase, text, why in (("all", "whole run", ABSENT), ("decode", "decode", MIXED)):
            tag = "" if phase == "all" else f"_{phase}"
            where = seen.where(n, kind="trace", phase_of_work=phase)
            for name, title, unit in quantities:
                full = f"{title} at N = {n}, {text}"
                values = seen.trace_at(n, name, phase)
                full_name = f"{seen.sut}.{name}{tag}.n{n}"
                mean(ledger, full_name, full, values, unit, where, reason=why)
        _occupation(ledger, seen, n)
    if seen.traced and not seen.device:
        _unknown(ledger, seen, "kernels", "kernels and launches per output token", NO_DEVICE)


def _occupation(ledger: Ledger, seen: Profile, n: int) -> None:
    where = seen.where(n, kind="trace", phase_of_work="all")
    what = "device" if seen.device else "host threads in operators"
    for name, title, unit in (
        ("busy_fraction", f"share of the run in which {what} were busy", ""),
        ("gap_p50_s", "gap between pieces of work, median", "s"),
        ("gap_p90_s", "gap between pieces of work, 90th percentile", "s"),
        ("gap_p99_s", "gap between pieces of work, 99th percentile", "s"),
        ("max_concurrency", "most pieces of work at one instant", ""),
        ("unknown_share", "share of the time in operations without a class", ""),
    ):
        values = seen.trace_at(n, name)
        mean(ledger, f"{seen.sut}.{name}.n{n}", f"{title}, N = {n}", values, unit, where)


def _unknown(ledger: Ledger, seen: Profile, name: str, title: str, reason: str) -> None:
    how, where = "profilers.derived", seen.where(kind="trace")
    ledger.add(f"{seen.sut}.{name}", title, None, n=0, estimator=how, where=where, reason=reason)


def time_by_class(ledger: Ledger, seen: Profile) -> list[str]:
    """Time per output token of the classes with the most time; their names, longest first."""
    if seen.classes.empty:
        return []
    totals = seen.classes.groupby("class")["s_per_token"].sum().sort_values(ascending=False)
    longest = list(totals.index[:MOST_CLASSES])
    kinds = ["kernel", "memcpy", "memset"] if seen.device else ["operator"]
    for n in seen.traced:
        chosen = seen.classes[seen.classes["agents"] == n]
        for label in longest:
            values = chosen[chosen["class"] == label].set_index("block")["s_per_token"]
            mean(
                ledger,
                f"{seen.sut}.class.{label}.n{n}",
                f"time per output token in the class {label} at N = {n}",
                values,
                "s",
                seen.where(n, kind="operation", operation_kind=kinds, **{"class": label}),
            )
    return longest


def amortizations(ledger: Ledger, seen: Profile) -> None:
    """Calls per token of one sequence over those of N, from equal tokens, against its maximum."""
    for phase, text in (("all", "whole run"), ("decode", "decode")):
        tag = "" if phase == "all" else f"_{phase}"
        for n in (level for level in seen.traced if level > 1):
            found = per_block(seen, n, phase, amortization)
            if not found:
                continue
            where = seen.where([1, n], kind="trace", phase_of_work=phase)
            factors = {block: one.factor for block, one in found.items()}
            shares = {block: one.share for block, one in found.items()}
            title = f"amortization of {seen.calls} at N = {n} (at most N), {text}"
            mean(ledger, f"{seen.sut}.amortization{tag}.n{n}", title, factors, "", where)
            title = f"share of the maximum amortization reached at N = {n}, {text}"
            mean(ledger, f"{seen.sut}.amortized_share{tag}.n{n}", title, shares, "", where)
            title = f"change of {seen.calls} per token from N = 1 to N = {n}, {text}"
            change = {block: 1 / factor - 1 for block, factor in factors.items()}
            mean(ledger, f"{seen.sut}.change{tag}.n{n}", title, change, "", where)


def per_block(
    seen: Profile, n: int, phase: str, compute: Callable[[Load, Load], Any]
) -> dict[int, Any]:
    """What `compute` makes of each block's traces of one sequence and of N."""
    found = {}
    for block in sorted(seen.traces["block"].unique()):
        one, many = (seen.load(level, block, phase) for level in (1, n))
        if one and many:
            found[int(block)] = compute(one, many)
    return found


def artefact(ledger: Ledger, seen: Profile) -> None:
    """What traces with load and warm-up in them would show, made from this SUT's own counts.

    The same constant work is added to the traces of one sequence and of N, as when recording
    begins with the process, and each sum is divided by the tokens of its own trace. A constructed
    example: nothing more is shared than without the constant.
    """
    levels = [n for n in seen.traced if n > 1]
    if 1 not in seen.traced or not levels:
        return
    n = levels[-1]
    where = seen.where([1, n], kind="trace", phase_of_work="all")
    for load in LOADS:

        def with_load(one: Load, many: Load, load: int = load) -> Any:
            extra = load * many.calls
            return denominator(_more(one, extra), _more(many, extra))

        found = per_block(seen, n, "all", with_load)
        title = f'"amortization" at N = {n} if both traces held {load} times the work of N besides'
        values = {block: one.ratio for block, one in found.items()}
        mean(ledger, f"artefact.load{load}", title, values, "", where)
    tokens = {block: one.tokens_ratio for block, one in found.items()}
    title = f"ratio of the token counts of the two traces, N = {n} over N = 1"
    mean(ledger, "artefact.tokens", title, tokens, "", where)


def _more(load: Load, extra: int) -> Load:
    return Load(load.sequences, load.tokens_per_sequence, load.calls + extra)


def bytes_per_token(ledger: Ledger, seen: Profile, prompt_tokens: int, output_tokens: int) -> None:
    """Bytes that a decoded token must read, by the arithmetic of the model.

    Weights are shared by the sequences of a forward pass, the KV cache is not; the context is the
    mean over the output.
    """
    rows = ledger.observations[ledger.observations["sut"] == seen.sut]
    facts = {
        name.removeprefix("sut_"): float(rows[name].dropna().iloc[0])
        for name in map(str, rows.columns)
        if name.startswith("sut_") and rows[name].notna().any()
    }
    try:
        shape = kv.from_facts(seen.sut, facts)
        weights, value = facts["decode_weight_bytes"], facts["kv_value_bytes"]
    except (UserError, KeyError):
        return  # a server does not describe its model
    cache = kv_bytes(shape, prompt_tokens + output_tokens / 2, value)
    for n in seen.levels:
        if len(batch := seen.at(n, "mean_batch")):
            mean(
                ledger,
                f"{seen.sut}.bytes.n{n}",
                f"bytes that a token must read at N = {n}, by arithmetic",
                weights / batch + cache,
                "B",
                seen.where(n),
                estimator="decode weights / sequences in a forward pass + KV cache of one; "
                "mean over blocks",
                notes="arithmetic of the model's shape, not a counter",
            )
    _unknown(ledger, seen, "bytes_counted", "bytes that a token reads, by counters", NO_COUNTERS)
