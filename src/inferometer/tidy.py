"""Tidy: sealed raw files become one table of observations, a row for each request."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from inferometer import manifest, records
from inferometer.errors import UserError
from inferometer.experiments import SESSION
from inferometer.load.closed_loop import window_tokens

CARRIED = (
    *("agent", "server", "sequence", "sent_s", "first_token_s", "last_token_s", "done_s"),
    *("scheduled_s", "lag_s", "think_overrun_s", "in_flight_at_send"),
    *("prompt_tokens_asked", "output_tokens_asked", "prompt_tokens", "completion_tokens"),
    *("cached_tokens", "tokens_agree", "server_queue_s", "server_prefill_s", "server_decode_s"),
    *("finish_reason", "status", "error"),
)
"""Fields of a request record that become columns as they are."""


def sessions(results: Path) -> list[Path]:
    """Manifests of the sealed sessions of a results folder, in the order of SUT and block."""
    found = (path for path in results.glob("raw/*/*.manifest.json"))
    return sorted(p for p in found if SESSION.match(p.name.removesuffix(".manifest.json")))


def observations(results: Path) -> pd.DataFrame:
    """The tidy table of every sealed session of a results folder.

    One row a request: session, SUT, block and raw line, the cell's factors and window, the
    record's fields, tokens inside the window, and session-wide facts from the manifest
    (`session_*`). Raises `UserError` when a session's bytes are not the sealed ones.
    """
    found = sessions(results)
    if not found:
        raise UserError(f"{results}: holds no sealed session; measure first")
    frames = []
    for path in found:
        if problems := manifest.problems(path):
            raise UserError("\n".join(problems))
        frames.append(pd.DataFrame(_rows(path)))
    table = pd.concat(frames, ignore_index=True)
    return table.sort_values(["sut", "block", "line"], ignore_index=True)


def write(table: pd.DataFrame, path: Path) -> None:
    """Store observations as Parquet; equal tables give equal bytes with equal libraries."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(draft, index=False, compression="zstd")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot write ({error.strerror})") from error


def read(path: Path) -> pd.DataFrame:
    """Read observations; `UserError` when the file is missing or no Parquet."""
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run tidy first") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    sealed = manifest.read(path)
    lines = list(records.read(path.with_name(sealed["raw"]["file"])))
    cells = {record["cell"]: record for _, record in lines if record["kind"] == "cell"}
    facts = _session_facts(sealed)
    for number, record in lines:
        if record["kind"] == "request":
            yield _row(number, record, cells[record["cell"]], sealed) | facts


def _row(
    line: int, record: dict[str, Any], cell: dict[str, Any], sealed: manifest.Manifest
) -> dict[str, Any]:
    start, end = cell["window_start_s"], cell["window_end_s"]
    windowed = start is not None and end is not None
    inside = windowed and record["sent_s"] >= start and (record["done_s"] or end + 1) <= end
    return {
        "session": sealed["session"],
        "sut": sealed["sut"],
        "block": sealed["block"],
        "line": line,
        "cell": record["cell"],
        "phase": cell["phase"],
        **cell["levels"],
        "cell_valid": cell["valid"],
        "cell_started_s": cell["started_s"],
        "cell_ended_s": cell["ended_s"],
        "window_start_s": start,
        "window_end_s": end,
        "in_window": inside,
        "window_tokens": window_tokens(record, start, end) if windowed else 0.0,
        **{name: record.get(name) for name in CARRIED},
    }


def _session_facts(sealed: manifest.Manifest) -> dict[str, Any]:
    """Facts of the whole session, repeated in its rows so that findings can rest on them."""
    calibration = sealed["calibration"]
    return {
        "session_wall_s": sealed["timing"]["wall_s"],
        "session_cells_s": sealed["timing"]["cells_s"],
        "session_steal_fraction": sealed["noise"]["block"]["steal_fraction"],
        "session_foreign_cpu_fraction": sealed["noise"]["block"]["foreign_cpu_fraction"],
        "session_noisy": sealed["noise"]["noisy"],
        **{
            f"session_{load}_{name}": calibration[load][name]
            for load in ("streams", "rate")
            for name in (
                "added_ttft_p50_s",
                "added_ttft_p99_s",
                "schedule_lag_p99_s",
                "cpu_s_per_1000_tokens",
            )
            if calibration[load].get(name) is not None
        },
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
