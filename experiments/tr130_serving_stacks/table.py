"""TR130: one row per cell, from observations, and what selects the rows behind a finding."""

import pandas as pd

from inferometer.analysis import Where
from inferometer.design import Design
from inferometer.load import summary
from inferometer.scaling import Cells

SAME, BEST, ROUTES = "scaling", "precision", "workloads"
"""The phases: all at one precision, each at its best, kinds of work."""

REQUEST: Where = {"kind": "request"}


def requests(observations: pd.DataFrame) -> pd.DataFrame:
    """The rows that are requests."""
    return observations[observations["kind"] == "request"]


def cells(observations: pd.DataFrame) -> pd.DataFrame:
    """`load.summary.cells` with p95 latencies, requests per second and how many stream at once."""
    rows = requests(observations)
    rows = rows.assign(
        cell_valid=rows["cell_valid"].astype(bool), agents=rows["agents"].astype(int)
    )
    if not rows["cell_valid"].any():
        raise ValueError("no cell is valid")
    table = summary.cells(rows, ["agents", "workload"])
    keys = ["sut", "block", "cell"]
    latencies = summary.timings(rows).groupby(keys, observed=True)["latency_s"]
    tails = latencies.quantile(0.95).rename("latency_p95_s").to_frame()
    tails["timed"] = latencies.size()
    table = table.merge(tails.reset_index(), "left", keys).fillna({"timed": 0})
    streams = rows[rows["cell_valid"]].groupby(keys, observed=True)
    output = streams["output_tokens_asked"].first().rename("output_tokens")
    table = table.merge(output.reset_index(), "left", keys)
    together = {key: _together(group) for key, group in streams}
    table["together"] = [together[key] for key in zip(*(table[k] for k in keys), strict=True)]
    table["requests"] = table["throughput"] / table["output_tokens"].astype(float)
    return table


def arms(
    table: pd.DataFrame, design: Design, phase: str, workload: str | None = None
) -> dict[str, Cells]:
    """SUT -> its cells of a phase (of one kind of work), in the order of the design."""
    chosen = table[table["phase"] == phase]
    if workload is not None:
        chosen = chosen[chosen["workload"] == workload]
    order = [sut for sut in design.suts if sut in set(chosen["sut"])]
    found = {}
    for sut in order:
        where: Where = {**REQUEST, "sut": sut, "phase": phase, "cell_valid": True}
        where |= {"workload": workload} if workload is not None else {}
        own = chosen[chosen["sut"] == sut]
        found[sut] = Cells(sut, design.suts[sut].label or sut, own, where)
    return found


def _together(group: pd.DataFrame) -> float:
    """Mean number of requests between their first and last token, over the cell's window."""
    start, end = group["window_start_s"].iloc[0], group["window_end_s"].iloc[0]
    first = group["first_token_s"].astype(float).clip(start, end)
    last = group["last_token_s"].astype(float).clip(start, end)
    return float((last - first).sum() / (end - start))
