"""TR125: what is in the files, and what it saves: bits, bytes, memory, speed."""

import pandas as pd

from inferometer import entries as blocks
from inferometer import quantization as names
from inferometer.analysis import Ledger, Where
from inferometer.load import summary
from inferometer.quality import entries

EXACT = "counted in the file, not an estimate"


def enter(ledger: Ledger, model) -> None:  # type: ignore[no-untyped-def]
    """Enter the facts of every level's file, and its speed and memory beside the baseline's."""
    kinds: dict[str, str] = {}
    for one in model.every:
        where: Where = {"kind": "file", "sut": one.inside}
        rows = entries.selected(ledger, where)
        if one.inside and len(rows):
            _file(ledger, model, one, rows.iloc[0], where, kinds)
    speed = _speeds(ledger)
    for one in model.every:
        _measured(ledger, one, model.baseline, speed)


def _file(ledger: Ledger, model, one, row: pd.Series, where: Where, kinds: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    same = kinds.setdefault(row["types_sha256"], one.name)
    facts = [
        (names.bits_name(one.model, one.level), "bits per weight", row["bits_per_weight"], "bits"),
        (names.bytes_name(one.model, one.level), "size of the file", row["file_bytes"], "B"),
        (f"{one.name}.types", "types of the weights, by their share", row["types"], ""),
        (f"{one.name}.fallbacks", "tensors of another type", row["fallback_tensors"], ""),
    ]
    if names.params_name(model.name) not in ledger.findings:  # the same at every level
        facts.append((names.params_name(model.name), "number of weights", row["weights"], ""))
    if same != one.name:
        facts.append((f"{one.name}.coincides", "level with the same types", same, ""))
    for name, title, value, unit in facts:
        whole = isinstance(value, float) and value.is_integer() and unit != "bits"
        ledger.add(
            name,
            f"{title}, {one.name}",
            int(value) if whole else value,
            unit=unit,
            n=1,
            n_of="files",
            where=where,
            estimator="read from the GGUF file",
            no_interval=EXACT,
        )


def _speeds(ledger: Ledger) -> pd.DataFrame:
    """One row a block of each served SUT: throughput of one agent."""
    rows = ledger.observations[ledger.observations["kind"] == "request"]
    if rows.empty:
        return pd.DataFrame(columns=["sut", "block", "throughput"])
    valid = rows.assign(
        cell_valid=rows["cell_valid"].astype(bool), agents=rows["agents"].astype(int)
    )
    return summary.cells(valid, ["agents"])


def _measured(ledger: Ledger, one, base, speed: pd.DataFrame) -> None:  # type: ignore[no-untyped-def]
    values = {
        each.served: speed[speed["sut"] == each.served].set_index("block")["throughput"].dropna()
        for each in (one, base)
        if each is not None and each.served
    }
    if one.served not in values:
        return
    where: Where = {"kind": "request", "sut": one.served, "phase": "speed"}
    title = f"generated tokens per second of {one.name}, one agent"
    blocks.mean(
        *(ledger, f"{one.name}.throughput", title, values[one.served], "tokens/s", where),
        reason="no block has a value",
        low=0.0,
    )
    _resident(ledger, one)
    pair = (values[one.served], values.get(base.served if base else None))
    if one is base or pair[1] is None or min(len(side) for side in pair) < 2:
        return
    if blocks.spread(*pair):
        both: Where = where | {"sut": [one.served, base.served]}
        title = f"throughput of {one.name} over that of the baseline"
        blocks.ratio(ledger, f"{one.name}.speed_ratio", title, *pair, both)


def _resident(ledger: Ledger, one) -> None:  # type: ignore[no-untyped-def]
    where: Where = {"kind": "memory", "sut": one.served}
    rows = entries.selected(ledger, where)
    each = rows.groupby("block")["resident_bytes"].first() / 2**20 if len(rows) else []
    title = f"resident memory of the server of {one.name}"
    name = f"{one.name}.resident"
    blocks.mean(ledger, name, title, each, "MiB", where, reason="not known here", low=0.0)
