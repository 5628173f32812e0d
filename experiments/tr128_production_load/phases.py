"""TR128: saturation, streaming, the hold, conversations, and slots against one another."""

from typing import Any

import pandas as pd

from inferometer.analysis import Ledger

ENOUGH = 0.95
"""Share of arrivals within the objectives that counts as sustained."""


def findings(ledger: Ledger, entries: Any, seen: Any) -> None:
    """What one SUT's phases besides the plain levels say."""
    _saturation(ledger, seen)
    _streaming(ledger, entries, seen)
    if len(seen.drifts):
        _hold(ledger, entries, seen)
    if len(seen.turns):
        _turns(ledger, entries, seen)


def _ends(ledger: Ledger, name: str) -> tuple[float | None, float | None]:
    interval = ledger.findings[name].interval
    return (interval.low, interval.high) if interval else (None, None)


def _saturation(ledger: Ledger, seen: Any) -> None:
    """The first rho whose backlog grows, and the last that meets the objectives."""
    grows, meets = [], []
    for rho in seen.levels:
        at = f"rho{round(100 * rho)}"
        growth, share = (
            _ends(ledger, f"{seen.sut}.{name}.{at}") for name in ("backlog", "achieved_share")
        )
        if (growth[0] or 0) > 0 and share[1] is not None and share[1] < 1:
            grows.append(rho)
        finding = ledger.findings[f"{seen.sut}.goodput.{at}"]
        low = _ends(ledger, f"{seen.sut}.goodput.{at}")[0]
        # with the same share in every block there is no spread, and the value stands for itself
        held = finding.value if low is None and finding.n > 2 else low
        if held is not None and float(held) >= ENOUGH and len(meets) == seen.levels.index(rho):
            meets.append(rho)
    common = {"n": len(seen.levels), "n_of": "levels", "where": seen.where("load")}
    ledger.add(
        f"{seen.sut}.saturated_rho",
        "smallest measured rho at which the number inside grows and less is achieved than offered",
        min(grows, default=None),
        estimator="both intervals wholly beyond what a steady state has",
        no_interval="a level of the design",
        reason="at no measured rho are both intervals beyond it",
        **common,
    )
    ledger.add(
        f"{seen.sut}.sustained_rho",
        "largest measured rho up to which the goodput's interval lies above the share wanted",
        max(meets, default=None),
        estimator=f"goodput at least {ENOUGH:g} with its whole interval, at it and all below",
        no_interval="a level of the design",
        reason="not even the smallest measured rho has it",
        **common,
    )


def _streaming(ledger: Ledger, entries: Any, seen: Any) -> None:
    """A streamed answer against a whole one at the same arrivals, paired by block."""
    cells = seen.cells[seen.cells["phase"] == "streaming"]
    if set(cells["answer"]) != {"stream", "whole"}:
        return
    for name, column, title in (
        ("latency", "latency_s", "latency"),
        ("ttft", "ttft_s", "time until the user sees something"),
    ):
        sides = [
            entries.values(cells[cells["answer"] == answer], column)
            for answer in ("stream", "whole")
        ]
        where = seen.where("streaming")
        for answer, side in zip(("stream", "whole"), sides, strict=True):
            entries.mean(
                ledger,
                f"{seen.sut}.streaming.{name}.{answer}",
                f"{title}, answer: {answer}",
                side,
                "s",
                where | {"answer": answer},
                low=0,
            )
        entries.ratio(
            ledger,
            f"{seen.sut}.streaming.{name}",
            f"{title} of a streamed answer over that of a whole one",
            *sides,
            where,
        )


def _hold(ledger: Ledger, entries: Any, seen: Any) -> None:
    where = seen.where("hold")
    drifts = {
        "latency_s": ("latency_drift", "latency"),
        "service_s": ("service_drift", "the server's own time"),
        "tpot_s": ("tpot_drift", "the time per token"),
    }
    for column, (name, title) in drifts.items():
        entries.mean(
            ledger,
            f"{seen.sut}.hold.{name}",
            f"change of {title} over the hold, as a share of its mean (straight line in time)",
            entries.values(seen.drifts, column),
            "",
            where,
        )
    silent = "this machine does not tell it"
    for column, name, title, unit in (
        ("cpu_mhz", "cpu_clock_drift", "change of the processor's clock over the hold, share", ""),
        ("gpu_mhz", "gpu_clock_drift", "change of the GPU's clock over the hold, share", ""),
        ("cpu_temperature_c", "cpu_temperature", "highest temperature of the processor", "°C"),
        ("gpu_temperature_c", "gpu_temperature", "highest temperature of the GPU", "°C"),
        (
            "throttled",
            "throttled",
            "share of readings at which the GPU said it was slowed down",
            "",
        ),
    ):
        found = entries.values(seen.drifts, column)
        rows = {"sut": seen.sut, "phase": "hold", "kind": "health", "cell_valid": True}
        entries.mean(ledger, f"{seen.sut}.hold.{name}", title, found, unit, rows, reason=silent)
    cells = seen.cells[seen.cells["phase"] == "hold"]
    for name, column, title, unit in (
        ("latency", "latency_s", "mean latency in the hold", "s"),
        ("latency_p95", "latency_p95_s", "95th percentile of latency in the hold", "s"),
        ("latency_p99", "latency_p99_s", "99th percentile of latency in the hold", "s"),
        ("achieved_share", "achieved_share", "achieved over offered rate in the hold", ""),
        ("goodput", "goodput", "share of arrivals that meet all objectives in the hold", ""),
    ):
        found = entries.values(cells, column)
        top = 1 if name == "goodput" else None
        label = f"{seen.sut}.hold.{name}"
        entries.mean(ledger, label, title, found, unit, where, low=0, high=top, of=len(cells))


def _turns(ledger: Ledger, entries: Any, seen: Any) -> None:
    for (history, turn), group in seen.turns.groupby(["history", "turn"]):
        where = seen.where("turns", history=history, sequence=int(turn) - 1)
        for name, column, title, unit in (
            ("ttft", "ttft_s", "time to first token", "s"),
            ("latency", "latency_s", "latency", "s"),
            ("tokens", "tokens", "tokens of the prompt", "tokens"),
        ):
            entries.mean(
                ledger,
                f"{seen.sut}.turns.{name}.{history}.t{turn}",
                f"{title} of turn {turn}, history: {history}",
                entries.values(group, column),
                unit,
                where,
                low=0,
            )
    histories = sorted(set(seen.turns["history"]))
    if len(histories) != 2 or "full" not in histories:
        return
    other = next(name for name in histories if name != "full")
    last = int(seen.turns["turn"].max())
    final = seen.turns[seen.turns["turn"] == last]
    for name, column in (("ttft", "ttft_s"), ("latency", "latency_s")):
        sides = [entries.values(final[final["history"] == h], column) for h in ("full", other)]
        entries.ratio(
            ledger,
            f"{seen.sut}.turns.{name}_ratio",
            f"{name} of turn {last}: full history over {other}",
            *sides,
            seen.where("turns", sequence=last - 1),
        )


def slots(ledger: Ledger, entries: Any, suts: dict[str, Any]) -> None:
    """Capacity of the server with most slots over that of the one with fewest."""
    ordered = sorted(suts.values(), key=lambda seen: seen.slots)
    if len(ordered) < 2 or ordered[0].slots == ordered[-1].slots:
        return
    few, many = ordered[0], ordered[-1]
    a, b = many.capacity, few.capacity
    if pd.concat([a, b]).empty:
        return
    where = few.where("capacity") | {"sut": [few.sut, many.sut]}
    title = f"capacity with {many.slots} slots over that with {few.slots}"
    entries.ratio(ledger, "slots.capacity", title, a, b, where, paired=False)
