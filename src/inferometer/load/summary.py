"""Block-level summaries of load cells: one row per SUT, block and cell, from observations."""

from typing import Any

import pandas as pd

from inferometer.stats import fairness

TIMED = (
    *("cell_valid", "in_window", "status", "sequence", "sent_s", "first_token_s", "last_token_s"),
    *("done_s", "completion_tokens", "server_prefill_s", "server_decode_s"),
)
"""Columns that `timings` needs."""
SECONDS = ("latency_s", "ttft_s", "tpot_s", "queue_wait_s", "prefill_s", "decode_s")


def timings(observations: pd.DataFrame) -> pd.DataFrame:
    """Requests that count for latencies, with their parts in seconds.

    Kept are successful requests sent and ended inside the window of a valid cell, without each
    agent's first: that one meets a server which is still empty. `queue_wait_s` is what neither
    prefill nor decode explains (waiting for a slot, HTTP, the client); `tpot_s` is the mean time
    per output token after the first; `server_rate` is tokens per second of server decode time.
    """
    kept = observations[
        observations["cell_valid"]
        & observations["in_window"]
        & (observations["status"] == "ok")
        & (observations["sequence"] > 0)
    ].copy()
    kept["latency_s"] = kept["done_s"] - kept["sent_s"]
    kept["ttft_s"] = kept["first_token_s"] - kept["sent_s"]
    kept["prefill_s"] = pd.to_numeric(kept["server_prefill_s"])
    kept["decode_s"] = pd.to_numeric(kept["server_decode_s"])
    kept["queue_wait_s"] = kept["latency_s"] - kept["prefill_s"] - kept["decode_s"]
    kept["tpot_s"] = (kept["last_token_s"] - kept["first_token_s"]) / (
        kept["completion_tokens"] - 1
    ).where(kept["completion_tokens"] > 1)
    kept["server_rate"] = kept["completion_tokens"] / kept["decode_s"].where(kept["decode_s"] > 0)
    kept["request_rate"] = kept["completion_tokens"] / kept["latency_s"]
    return kept


def cells(observations: pd.DataFrame, factors: list[str]) -> pd.DataFrame:
    """One row per valid cell: rates over the window, means over its requests.

    `throughput` is tokens per second of all agents inside the window, `per_agent` that divided
    by `agents`, `jain` Jain's index over the agents' tokens in the window (NaN when undefined).
    Means of requests are NaN where no request counts.
    """
    keys = ["sut", "block", "cell", "phase", *factors]
    windows = [*keys, "agent", "window_start_s", "window_end_s", "window_tokens"]
    # only what is needed: a million observations are a gigabyte
    valid = observations.loc[observations["cell_valid"], list(dict.fromkeys(windows))]
    means = (
        timings(observations[["sut", "block", "cell", *TIMED]])
        .groupby(["sut", "block", "cell"], observed=True)[[*SECONDS, "server_rate", "request_rate"]]
        .mean()
    )
    rows = []
    for key, group in valid.groupby(keys, observed=True, sort=True):
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        window_s = group["window_end_s"].iloc[0] - group["window_start_s"].iloc[0]
        tokens = group["window_tokens"].sum()
        row["throughput"] = tokens / window_s
        row["per_agent"] = row["throughput"] / row["agents"]
        row["window_s"] = window_s
        row["requests"] = len(group)
        shares = group.groupby("agent")["window_tokens"].sum()
        row["jain"] = fairness.jain(shares).index if len(shares) == row["agents"] else None
        rows.append(row)
    table = pd.DataFrame(rows).merge(means, on=["sut", "block", "cell"], how="left")
    table["jain"] = pd.to_numeric(table["jain"])
    return table
