"""TR128: one row per SUT, block and open-loop cell, with what queueing theory says of it."""

from typing import Any

import numpy as np
import pandas as pd

from inferometer.stats import flow, queueing

OPEN = ("load", "bursts", "streaming", "hold")
SETTLED_FROM = 0.25
"""Share of a cell's length that fills the system and counts for arrivals alone."""
TAILS = {"latency_p50_s": (0.5, 1), "latency_p95_s": (0.95, 20), "latency_p99_s": (0.99, 100)}
"""Quantile, and the fewest requests of a cell that carry it."""


def requests(observations: pd.DataFrame) -> pd.DataFrame:
    """Requests of valid cells with their parts in seconds, from the scheduled time on."""
    kept = observations[observations["kind"].eq("request") & observations["cell_valid"].eq(True)]
    kept = kept.copy()
    numbers = ("done_s", "first_token_s", "last_token_s", "scheduled_s", "completion_tokens")
    for name in (*numbers, "lag_s", "sent_s", "server_prefill_s", "server_decode_s"):
        kept[name] = pd.to_numeric(kept[name])
    kept["due_s"] = kept["scheduled_s"].fillna(kept["sent_s"])
    kept["latency_s"] = (kept["done_s"] - kept["due_s"]).where(kept["status"] == "ok")
    kept["ttft_s"] = kept["first_token_s"] - kept["due_s"]
    steps = kept["completion_tokens"] - 1
    kept["tpot_s"] = (kept["last_token_s"] - kept["first_token_s"]) / steps.where(steps > 0)
    kept["service_s"] = kept["server_prefill_s"] + kept["server_decode_s"]
    kept["wait_s"] = kept["latency_s"] - kept["service_s"]
    return kept


def capacities(observations: pd.DataFrame, output_tokens: int) -> pd.DataFrame:
    """Requests per second of each block's closed loop, by the tokens of its window."""
    chosen = observations[
        observations["kind"].eq("request")
        & observations["cell_valid"].eq(True)
        & observations["phase"].eq("capacity")
    ]
    rows = []
    for (sut, block), group in chosen.groupby(["sut", "block"]):
        span = group["window_end_s"].iloc[0] - group["window_start_s"].iloc[0]
        tokens = group.loc[group["status"] == "ok", "window_tokens"].sum()
        rows.append({"sut": sut, "block": block, "capacity": tokens / span / output_tokens})
    return pd.DataFrame(rows, columns=["sut", "block", "capacity"])


def open_cells(
    observations: pd.DataFrame, slots: dict[str, int], objectives: dict[str, float]
) -> pd.DataFrame:
    """Every valid open-loop cell: rates, latencies, flow, goodput, and predictions."""
    timed = requests(observations)
    plans = observations[observations["kind"].eq("load") & observations["cell_valid"].eq(True)]
    rows = []
    for _, plan in plans.iterrows():
        own = timed[(timed["session"] == plan["session"]) & (timed["cell"] == plan["cell"])]
        own = own.sort_values("scheduled_s")
        about = ("sut", "block", "session", "cell", "phase", "rho")
        row: dict[str, Any] = {name: plan[name] for name in about}
        row |= {name: plan.get(name) for name in ("arrivals", "answer")}
        row["arrivals"] = plan["law"]
        row |= _row(own, plan, objectives)
        row |= _predictions(own, row, slots.get(row["sut"], 1))
        rows.append(row)
    return pd.DataFrame(rows)


def _row(own: pd.DataFrame, plan: pd.Series, objectives: dict[str, float]) -> dict[str, Any]:
    start, length = plan["start_s"], plan["length_s"]
    settled = own[own["scheduled_s"] >= start + SETTLED_FROM * length]
    left = own["done_s"].where(own["status"] == "ok", np.inf)
    seen = flow.flow(own["scheduled_s"], left, start + SETTLED_FROM * length, start + length)
    whole = seen.unfinished == 0 and len(settled) > 0
    row = {
        **{"rate": plan["rate_per_s"], "capacity": plan["capacity_per_s"], "length": length},
        **{
            "start": start,
            "requests": len(own),
            "offered": seen.offered,
            "lag_p99": plan["lag_p99_s"],
        },
        **{"achieved": seen.achieved, "inside": seen.inside, "little": seen.little},
        "unfinished": int((own["status"] == "unfinished").sum()),
        "achieved_share": seen.achieved / seen.offered if seen.offered else None,
        "backlog": seen.backlog_slope / plan["rate_per_s"],
    }
    for name in ("latency_s", "ttft_s", "tpot_s", "wait_s", "service_s"):
        row[name] = settled[name].mean() if whole else None
    for name, (share, fewest) in TAILS.items():
        # an unfinished request is later than all others: a quantile below its share stands
        times = settled["latency_s"].fillna(np.inf).to_numpy()
        value = np.quantile(times, share, method="higher") if times.size >= fewest else np.inf
        row[name] = value if np.isfinite(value) else None
    service = settled["service_s"].dropna()
    row["service_cv"] = service.std(ddof=1) / service.mean() if len(service) > 1 else None
    good = (
        settled["ttft_s"].le(objectives["ttft_s"])
        & settled["tpot_s"].fillna(0).le(objectives["tpot_s"])
        & settled["latency_s"].le(objectives["total_s"])
        & settled["status"].eq("ok")
    )
    row["goodput"] = good.mean() if len(settled) else None
    row["goodput_rate"] = good.sum() / (length * (1 - SETTLED_FROM))
    return row


def _predictions(own: pd.DataFrame, row: dict[str, Any], slots: int) -> dict[str, Any]:
    """Steady-state waits, and the latencies of two queues that these very arrivals would see.

    The fast queue serves one at a time at the whole capacity: no server of that capacity has fewer
    requests inside, all being of one size. The slow one serves in `slots` at the pace of a full
    server throughout: a server whose requests are never slower than that is not behind it. With
    one slot both are the same queue.
    """
    pace = 1 / row["capacity"]
    due = own["scheduled_s"].to_numpy(float)
    settled = due >= row["start"] + SETTLED_FROM * row["length"]
    found: dict[str, Any] = {"md1_wait_s": None, "mg1_wait_s": None}
    if slots == 1 and row["arrivals"] == "poisson" and row["rho"] < 1:
        found["md1_wait_s"] = queueing.md1(pace, row["rho"]).Wq
        if row["service_cv"] is not None:
            found["mg1_wait_s"] = queueing.mg1(pace, row["rho"], row["service_cv"]).Wq
    fast = queueing.fifo_waits(due, pace)[settled] + pace
    slow = queueing.fifo_waits(due, slots * pace, slots)[settled] + slots * pace
    found["fast_s"] = fast.mean() if fast.size else None
    found["slow_s"] = slow.mean() if slow.size else None
    return found


def turns(observations: pd.DataFrame) -> pd.DataFrame:
    """Mean times of each turn by SUT, block and history; turns count from 1."""
    timed = requests(observations)
    chosen = timed[timed["phase"].eq("turns")]
    if chosen.empty:
        return pd.DataFrame(columns=["sut", "block", "history", "turn"])
    chosen = chosen.assign(
        turn=chosen["sequence"].astype(int) + 1, tokens=pd.to_numeric(chosen["prompt_tokens"])
    )
    columns = ["ttft_s", "latency_s", "tokens"]
    return chosen.groupby(["sut", "block", "history", "turn"])[columns].mean().reset_index()


def drifts(observations: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Change over each hold: slope over time, times its length, as a share of the mean."""
    timed = requests(observations)
    rows = []
    for _, hold in cells[cells["phase"] == "hold"].iterrows():
        own = timed[(timed["session"] == hold["session"]) & (timed["cell"] == hold["cell"])]
        settled = own[own["scheduled_s"] >= hold["start"] + SETTLED_FROM * hold["length"]]
        row = {"sut": hold["sut"], "block": hold["block"]}
        for name in ("latency_s", "service_s", "tpot_s"):
            row[name] = _change(settled["scheduled_s"], settled[name], hold["length"])
        rows.append(row | _health(observations, hold))
    return pd.DataFrame(rows, columns=["sut", "block", "latency_s", "service_s", "tpot_s", *HEALTH])


HEALTH = ("cpu_mhz", "gpu_mhz", "cpu_temperature_c", "gpu_temperature_c", "throttled")


def _health(observations: pd.DataFrame, hold: pd.Series) -> dict[str, float | None]:
    """Change of clocks (share), highest temperatures, share of readings under throttling."""
    seen = observations[
        observations["kind"].eq("health")
        & (observations["session"] == hold["session"])
        & (observations["cell"] == hold["cell"])
    ]
    row: dict[str, float | None] = dict.fromkeys(HEALTH)
    for name in ("cpu_mhz", "gpu_mhz"):
        if name in seen and seen[name].notna().sum() > 2:
            row[name] = _change(seen["at_s"], pd.to_numeric(seen[name]), hold["length"])
    for name in ("cpu_temperature_c", "gpu_temperature_c"):
        if name in seen and seen[name].notna().any():
            row[name] = float(pd.to_numeric(seen[name]).max())
    if "gpu_throttle_reasons" in seen and seen["gpu_throttle_reasons"].notna().any():
        row["throttled"] = float(seen["gpu_throttle_reasons"].str.contains("slowdown|brake").mean())
    return row


def _change(times: pd.Series, values: pd.Series, length: float) -> float | None:
    known = values.notna()
    if known.sum() < 3 or np.ptp(times[known].to_numpy(float)) == 0:
        return None
    if np.ptp(values[known].to_numpy(float)) == 0:
        return 0.0  # and not what rounding leaves of a slope
    slope = np.polyfit(times[known].to_numpy(float), values[known].to_numpy(float), 1)[0]
    return float(slope * length / values[known].mean())
