"""TR127: one row per SUT, block and context, from workers' phases and servers' requests alike."""

import pandas as pd

from inferometer.phases import summary

TIMES = ("prefill_s", "ttft_s", "decode_s")
"""Seconds of the prefill, to the first token, and per token after the first."""
COLUMNS = [
    *("sut", "kind", "block", "cell", "context", "status", "warm_repetitions"),
    *(*TIMES, *(f"cold_{name}" for name in TIMES)),
    *("prefill_peak_bytes", "decode_peak_bytes", "kv_bytes", "kv_tokens", "cached_tokens"),
]


def cells(observations: pd.DataFrame) -> pd.DataFrame:
    """Every valid cell: times of the warm repetitions, `cold_*` of the first, bytes, status.

    `cached_tokens` is what a server took from its prefix cache, the mean of the warm repetitions.
    """
    table = pd.concat([_phases(observations), _requests(observations)], ignore_index=True)
    for name in COLUMNS[4:5] + COLUMNS[6:]:
        table[name] = pd.to_numeric(table[name])
    return table.sort_values(["sut", "block", "context"], ignore_index=True)


def _phases(observations: pd.DataFrame) -> pd.DataFrame:
    found = summary.cells(observations, ["context"]).assign(kind="phase", cached_tokens=None)
    found = found.rename(
        columns={f"{warm}decode_s_per_token": f"{warm}decode_s" for warm in ("", "cold_")}
        | {f"{warm}decode_s": f"{warm}decode_total_s" for warm in ("", "cold_")}
    )
    return found.reindex(columns=COLUMNS)


def _requests(observations: pd.DataFrame) -> pd.DataFrame:
    requests = observations
    if "kind" in observations:
        requests = summary.of_kind(observations, "request")
    requests = requests[requests["cell_valid"].fillna(False).astype(bool)].copy()
    if requests.empty:
        return pd.DataFrame(columns=COLUMNS)
    requests["ttft_s"] = requests["first_token_s"] - requests["sent_s"]
    requests["prefill_s"] = pd.to_numeric(requests["server_prefill_s"])
    steps = pd.to_numeric(requests["completion_tokens"]) - 1
    requests["decode_s"] = (requests["last_token_s"] - requests["first_token_s"]) / steps.where(
        steps > 0
    )
    rows = []
    for key, group in requests.groupby(["sut", "block", "cell", "context"]):
        ok = group[group["status"] == "ok"]
        warm, cold = ok[ok["sequence"] > 0], ok[ok["sequence"] == 0]
        bad = group.loc[group["status"] != "ok", "status"]
        chosen = warm if len(warm) else ok
        rows.append(
            dict(zip(("sut", "block", "cell", "context"), key, strict=True))
            | {"kind": "request", "status": "ok" if bad.empty else str(bad.iloc[0])}
            | {"warm_repetitions": len(warm)}
            | {name: pd.to_numeric(chosen[name]).mean() for name in TIMES}
            | {f"cold_{name}": pd.to_numeric(cold[name]).mean() for name in TIMES}
            | {"cached_tokens": pd.to_numeric(chosen["cached_tokens"]).mean()}
        )
    return pd.DataFrame(rows).reindex(columns=COLUMNS)
