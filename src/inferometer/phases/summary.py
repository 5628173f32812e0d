"""Block-level summaries of phase cells: one row per SUT, block and cell, from observations."""

from typing import Any

import pandas as pd

PARTS = ("prefill", "decode")


def cells(observations: pd.DataFrame, factors: list[str]) -> pd.DataFrame:
    """One row per SUT, block and cell of phase records.

    Times are means over the repetitions after the first (warm); the first one alone (cold) is in
    the columns `cold_*`. A cell of one repetition has no warm one: its times are the cold ones,
    and `warm_repetitions` is 0. Seconds, tokens per second and bytes; missing where a part did not
    end well.

    - `prefill_s` (from the prompt to the first token, hence also `ttft_s`), `decode_s`,
      `decode_s_per_token` and `prefill_s_per_token`, `prefill_tokens_s`, `decode_tokens_s`:
      totals over totals, so that rates average harmonically
    - `prefill_peak_bytes`, `decode_peak_bytes`: the largest of all repetitions
    - `kv_bytes` at `kv_tokens` tokens: what the cache held at the end of the last part
    - `status`: `ok`, or that of the first record that was not, with its `error`
    """
    keys, rows = ["sut", "block", "cell", "phase", *factors], []
    phases = of_kind(observations, "phase")
    if phases.empty:
        return pd.DataFrame(columns=keys)
    phases = phases[phases["cell_valid"].fillna(False).astype(bool)]
    for key, group in phases.groupby(keys, observed=True, sort=True, dropna=False):
        rows.append(dict(zip(keys, key, strict=True)) | _cell(group))
    return pd.DataFrame(rows, columns=None if rows else keys)


def ceilings(observations: pd.DataFrame) -> pd.DataFrame:
    """The best probe of each block: columns sut, block, quantity, value (bytes/s or flop/s).

    The best, since a ceiling is what the machine can do, and disturbances only lower a probe.
    """
    probes = of_kind(observations, "ceiling")
    if probes.empty:
        return pd.DataFrame(columns=["sut", "block", "quantity", "value"])
    best = probes.groupby(["sut", "block", "quantity"])["value"].max()
    return best.reset_index()


def windows(observations: pd.DataFrame, factors: list[str]) -> pd.DataFrame:
    """Energy windows with an energy: one row per SUT, block, part and cell.

    `joules_per_token` is energy over tokens, missing for `idle`; `mean_power_w` is in watts.
    Windows without an energy, or that failed, are left out.
    """
    seen = of_kind(observations, "window")
    names = ["sut", "block", "part", *factors, "joules_per_token", "mean_power_w"]
    if seen.empty or "energy_j" not in seen:
        return pd.DataFrame(columns=names)
    seen = seen[(seen["status"] == "ok") & seen["energy_j"].notna()].copy()
    energy, tokens = (pd.to_numeric(seen[name]) for name in ("energy_j", "tokens"))
    seen["joules_per_token"] = energy / tokens.where(tokens > 0)
    return seen.reindex(columns=names).reset_index(drop=True)


def of_kind(observations: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The rows of one kind of record; none where the table has no column `kind`."""
    if "kind" not in observations:
        return observations.iloc[0:0]
    return observations[observations["kind"] == kind]


def _cell(group: pd.DataFrame) -> dict[str, Any]:
    ok = group[group["status"] == "ok"]
    warm = ok[ok["repetition"] > 0]
    only_one = group["repetition"].max() == 0
    bad = group[group["status"] != "ok"]
    row: dict[str, Any] = {
        "cached": bool(group["cached"].iloc[0]),
        "prompt_tokens": int(group["prompt_tokens"].iloc[0]),
        "output_tokens": int(group["output_tokens_asked"].iloc[0]),
        "status": "ok" if bad.empty else str(bad["status"].iloc[0]),
        "error": None if bad.empty or "error" not in bad else bad["error"].iloc[0],
        "warm_repetitions": int(warm["repetition"].nunique()),
        **_times(ok if only_one else warm),
        **{f"cold_{name}": value for name, value in _times(ok[ok["repetition"] == 0]).items()},
    }
    for part in PARTS:
        peaks = ok.loc[ok["part"] == part, "peak_bytes"] if "peak_bytes" in ok else pd.Series()
        row[f"{part}_peak_bytes"] = pd.to_numeric(peaks).max() if len(peaks) else None
    return row | _held(ok)


def _times(records: pd.DataFrame) -> dict[str, float | None]:
    """Seconds, seconds per token and tokens per second of both parts."""
    found: dict[str, float | None] = {}
    for part in PARTS:
        chosen = records[records["part"] == part]
        seconds, tokens = float(chosen["wall_s"].sum()), float(chosen["tokens"].sum())
        known = len(chosen) > 0 and seconds > 0
        found[f"{part}_s"] = seconds / len(chosen) if known else None
        found[f"{part}_s_per_token"] = seconds / tokens if known and tokens else None
        found[f"{part}_tokens_s"] = tokens / seconds if known and tokens else None
    found["ttft_s"] = found["prefill_s"]
    return found


def _held(ok: pd.DataFrame) -> dict[str, float | None]:
    """Bytes of the KV cache at the end of the longest part that has one, and its tokens."""
    if "kv_bytes" not in ok:
        return {"kv_bytes": None, "kv_tokens": None}
    filled = ok[pd.to_numeric(ok["kv_bytes"]) > 0]
    if filled.empty:
        return {"kv_bytes": None, "kv_tokens": None}
    last = filled.iloc[int(pd.to_numeric(filled["context_end"]).to_numpy().argmax())]
    return {"kv_bytes": float(last["kv_bytes"]), "kv_tokens": int(last["context_end"])}
