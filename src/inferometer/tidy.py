"""Tidy: sealed raw files become one table of observations, a row for each thing observed."""

import argparse
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.json

from inferometer import manifest, records
from inferometer.errors import UserError
from inferometer.experiments import SESSION

CARRIED = (
    *("agent", "server", "sequence", "sent_s", "first_token_s", "last_token_s", "done_s"),
    *("scheduled_s", "lag_s", "think_overrun_s", "in_flight_at_send"),
    *("prompt_tokens_asked", "output_tokens_asked", "prompt_tokens", "completion_tokens"),
    *("cached_tokens", "tokens_agree", "server_queue_s", "server_prefill_s", "server_decode_s"),
    *("finish_reason", "status", "error"),
)
"""Fields of a request record that become columns as they are."""
Columns = dict[str, Any]
"""A table in the making: name of each column -> its values, or one for all rows."""
NOT_OBSERVED = ("cell", "warmup", "aborted", "request")
"""Kinds of records that are no rows, and requests, whose columns are chosen one by one."""


def sessions(results: Path) -> list[Path]:
    """Manifests of the sealed sessions of a results folder, in the order of SUT and block."""
    found = {}
    for path in results.glob("raw/*/*.manifest.json"):
        block = path.name.removesuffix(".manifest.json")
        if SESSION.match(block):
            found[path.parent.name, int(block)] = path
    return [found[key] for key in sorted(found)]


def observations(results: Path) -> pd.DataFrame:
    """The tidy table of every sealed session of a results folder.

    One row a request: session, SUT, block and raw line, the cell's factors and window, the
    record's fields, tokens inside the window, and session-wide facts from the manifest
    (`session_*`). One row, too, for any other record of a measurement (a phase, an energy window,
    a ceiling): a column `kind` then tells them apart, every field that is no list is a column,
    and `sut_*` are the numbers that a worker reports of itself. Raises `UserError` when a
    session's bytes are not the sealed ones.
    """
    found = sessions(results)
    if not found:
        raise UserError(f"{results}: holds no sealed session; measure first")
    frames = []
    for path in found:
        if problems := manifest.problems(path):
            raise UserError("\n".join(problems))
        frames += _rows(path)
    columns = dict.fromkeys(name for frame in frames for name in frame.columns)
    # columns without a value in one session must not decide the type of the others'
    table = pd.concat([frame.dropna(axis=1, how="all") for frame in frames], ignore_index=True)
    table = table.assign(**dict.fromkeys(columns.keys() - table.columns))[list(columns)]
    if "kind" in table:
        table["kind"] = table["kind"].fillna("request")
    return table


def write(table: pd.DataFrame, path: Path) -> None:
    """Store observations as Parquet; equal tables give equal bytes with equal libraries."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(draft, index=False, compression="zstd")
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise UserError(f"{path}: cannot write ({error.strerror})") from error


def read(path: Path) -> pd.DataFrame:
    """Read observations; `UserError` when the file is missing or no Parquet."""
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run tidy first") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def _rows(path: Path) -> list[pd.DataFrame]:
    """The rows of one session: a table of its requests, and one of each other kind of record."""
    sealed = manifest.read(path)
    lines = _lines(path.with_name(sealed["raw"]["file"]))
    kinds = np.array(lines.column("kind").to_pylist())
    cells = _cell_table([lines.slice(int(at), 1).to_pylist()[0] for at in _at(kinds, "cell")])
    tables = []
    for kind in dict.fromkeys(["request", *kinds]):
        chosen = _at(kinds, kind)
        if kind in NOT_OBSERVED and (kind != "request" or not len(chosen)):
            continue
        records_ = lines.take(pa.array(chosen))
        about = cells.reindex(records_.column("cell").to_pandas())
        rows = _about(sealed, chosen, about)
        rows |= _requests(records_, about) if kind == "request" else _fields(records_, rows)
        tables.append(pd.DataFrame(rows | _session_facts(sealed)))
    return tables


def _at(kinds: np.ndarray, kind: str) -> np.ndarray:
    return np.flatnonzero(kinds == kind)


def _about(sealed: manifest.Manifest, chosen: np.ndarray, about: pd.DataFrame) -> Columns:
    """Which session, line and cell each row is from, with the cell's factors and window."""
    return {
        "session": sealed["session"],
        "sut": sealed["sut"],
        "block": sealed["block"],
        "line": chosen + 1,
        "cell": about.index.to_numpy(),
        **{name: about[name].to_numpy() for name in about.columns},
    }


def _fields(found: pa.Table, rows: Columns) -> Columns:
    """Every field of the records that is no list or object, beside what `rows` says already."""
    known = {*rows, "schema_version"}
    columns = {name: found.column(name) for name in found.column_names if name not in known}
    return {
        name: column.to_pandas().to_numpy()
        for name, column in columns.items()
        if not pa.types.is_nested(column.type) and column.null_count < len(column)
    }


def _requests(requests: pa.Table, about: pd.DataFrame) -> Columns:
    """The columns of request records, and their tokens inside the cell's window."""
    rows: Columns = {
        name: requests.column(name).to_pandas() if name in requests.column_names else None
        for name in CARRIED
    }
    start, end = about["window_start_s"].to_numpy(), about["window_end_s"].to_numpy()
    # comparisons with a missing time or a missing window are false
    rows["in_window"] = (rows["sent_s"] >= start) & (rows["done_s"].astype(float) <= end)
    rows["window_tokens"] = _tokens_inside(requests, rows, start, end)
    return rows


def _lines(raw: Path) -> pa.Table:
    """Every line of a raw file as a row; `UserError` names file and cause."""
    try:
        table = pyarrow.json.read_json(
            raw, read_options=pyarrow.json.ReadOptions(block_size=1 << 24)
        )
    except pa.ArrowInvalid as error:
        raise UserError(f"{raw}: cannot be read: {error}") from error
    versions = set(table.column("schema_version").to_pylist())
    if versions != {records.SCHEMA_VERSION}:
        raise UserError(
            f"{raw}: has schema_version {sorted(map(str, versions))}; this version of Inferometer "
            f"reads {records.SCHEMA_VERSION}"
        )
    return table


def _cell_table(cells: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a cell, by its index: phase, factor levels, validity, times, window."""
    rows = {
        cell["cell"]: {
            "phase": cell["phase"],
            **cell["levels"],
            "cell_valid": cell["valid"],
            "cell_started_s": cell["started_s"],
            "cell_ended_s": cell["ended_s"],
            "window_start_s": _number(cell["window_start_s"]),
            "window_end_s": _number(cell["window_end_s"]),
        }
        for cell in cells
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _tokens_inside(
    requests: pa.Table, rows: Columns, start: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """`load.closed_loop.window_tokens` of every row at once."""
    stamps = requests.column("token_us").combine_chunks()
    counts = np.asarray(stamps.value_lengths().fill_null(0))
    row = np.repeat(np.arange(len(stamps)), counts)
    token_us = np.asarray(stamps.flatten())
    sent = rows["sent_s"].to_numpy()
    with np.errstate(invalid="ignore"):
        low, high = (np.rint((bound - sent) * 1e6) for bound in (start, end))
        inside = (token_us >= low[row]) & (token_us < high[row])
    found = np.bincount(row[inside], minlength=len(stamps)).astype(float)
    completion: pd.Series = rows["completion_tokens"]
    counted = pd.to_numeric(completion).to_numpy(dtype=float, na_value=math.nan)
    weight = np.where(np.isnan(counted) | (counts == 0), 1.0, counted / np.maximum(counts, 1))
    return found * weight


def _session_facts(sealed: manifest.Manifest) -> dict[str, Any]:
    """Facts of the whole session, repeated in its rows so that findings can rest on them."""
    facts = {
        "session_wall_s": sealed["timing"]["wall_s"],
        "session_cells_s": sealed["timing"]["cells_s"],
        "session_steal_fraction": sealed["noise"]["block"]["steal_fraction"],
        "session_foreign_cpu_fraction": sealed["noise"]["block"]["foreign_cpu_fraction"],
        "session_noisy": sealed["noise"]["noisy"],
    }
    # only sessions over HTTP have a client to calibrate; a worker times and describes itself
    if calibration := sealed.get("calibration"):
        return facts | _client_facts(calibration)
    described = sealed["servers"][0]["read_back"]
    return facts | {
        f"sut_{name}": value
        for name, value in described.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _client_facts(calibration: dict[str, Any]) -> dict[str, float]:
    return {
        f"session_{load}_{name}": calibration[load][name]
        for load in ("streams", "rate")
        for name in (
            "added_ttft_p50_s",
            "added_ttft_p99_s",
            "schedule_lag_p99_s",
            "cpu_s_per_1000_tokens",
        )
        if calibration[load].get(name) is not None
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `inferometer tidy`."""
    parser.add_argument("results", type=Path, help="folder such as results/<machine>/tr129")


def run_command(args: argparse.Namespace) -> int:
    """Write `observations.parquet` beside the raw files."""
    table = observations(args.results)
    target = args.results / "observations.parquet"
    write(table, target)
    print(f"{target}: {len(table)} rows of {table['session'].nunique()} sessions")
    return 0
