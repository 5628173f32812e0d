import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer import manifest, tidy
from inferometer.errors import UserError
from inferometer.load import summary
from inferometer.load.closed_loop import window_tokens

CALIBRATION = {"streams": {}, "rate": {}}


def seal(folder: Path, lines: list[dict]) -> Path:
    raw = folder / "raw" / "one" / "00.jsonl"
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text("".join(json.dumps({"schema_version": 1, **line}) + "\n" for line in lines))
    content = {
        "session": "one/00", "sut": "one", "block": 0,
        "timing": {"wall_s": 10.0, "cells_s": 9.0},
        "noise": {"block": {"steal_fraction": None, "foreign_cpu_fraction": 0.0}, "noisy": False},
        "calibration": CALIBRATION,
    }  # fmt: skip
    manifest.seal(raw, content, target=manifest.path_for(raw))
    return raw


def request(agent: int, sequence: int, sent_s: float, token_us: list[int], **more) -> dict:
    last = sent_s + token_us[-1] / 1e6 if token_us else None
    return {
        "kind": "request", "cell": 0, "agent": agent, "sequence": sequence, "sent_s": sent_s,
        "first_token_s": sent_s + token_us[0] / 1e6 if token_us else None, "last_token_s": last,
        "done_s": last, "token_us": token_us, "completion_tokens": len(token_us) or None,
        "server_prefill_s": 0.01, "server_decode_s": 0.04,
        "status": "ok" if token_us else "timeout",
        **more,
    }  # fmt: skip


def cell(start_s: float | None, end_s: float | None, agents: int = 1) -> dict:
    return {
        "kind": "cell", "cell": 0, "phase": "scaling", "levels": {"agents": agents, "think_ms": 0},
        "valid": True, "reasons": [], "started_s": 0.0, "ended_s": 9.0,
        "window_start_s": start_s, "window_end_s": end_s,
    }  # fmt: skip


stamps = st.lists(st.integers(1, 2_000_000), max_size=12).map(sorted)
record = st.builds(
    request,
    st.integers(0, 3),
    st.integers(0, 5),
    st.integers(0, 4_000_000).map(lambda us: us / 1e6),
    stamps,
    completion_tokens=st.one_of(st.none(), st.integers(1, 20)),
)


@given(st.lists(record, min_size=1, max_size=8), st.integers(0, 3_000_000), st.integers(1, 10**6))
def test_tokens_inside_the_window_are_those_of_the_definition(
    tmp_path_factory, records, start, span
):
    begin, end = start / 1e6, (start + span) / 1e6
    folder = tmp_path_factory.mktemp("results")
    seal(folder, [*records, cell(begin, end)])
    table = tidy.observations(folder)
    assert list(table["window_tokens"]) == pytest.approx(
        [window_tokens(one, begin, end) for one in records]
    )
    assert list(table["line"]) == list(range(1, len(records) + 1))


def test_a_cell_without_a_window_has_no_tokens_and_no_request_inside(tmp_path):
    seal(tmp_path, [request(0, 0, 0.0, [10, 20]), cell(None, None)])
    table = tidy.observations(tmp_path)
    assert table["window_tokens"].sum() == 0
    assert not table["in_window"].any()


def test_block_summaries_by_hand(tmp_path):
    # two agents, window of 2 s: 3 + 1 tokens inside, one outside
    lines = [
        request(0, 0, 0.0, [500_000, 1_000_000]),
        request(1, 0, 0.0, [1_500_000, 2_500_000]),
        request(0, 1, 1.0, [900_000]),
        cell(0.0, 2.0, agents=2),
    ]
    seal(tmp_path, lines)
    (row,) = summary.cells(tidy.observations(tmp_path), ["agents", "think_ms"]).to_dict("records")
    assert row["throughput"] == pytest.approx(2.0)
    assert row["per_agent"] == pytest.approx(1.0)
    assert row["jain"] == pytest.approx((3 + 1) ** 2 / (2 * (3**2 + 1**2)))
    # only the request after an agent's first counts for latencies
    assert row["latency_s"] == pytest.approx(0.9)
    assert row["queue_wait_s"] == pytest.approx(0.9 - 0.05)


def test_altered_bytes_stop_tidying(tmp_path):
    raw = seal(tmp_path, [request(0, 0, 0.0, [10]), cell(0.0, 1.0)])
    raw.write_bytes(raw.read_bytes().replace(b'"agent": 0', b'"agent": 1', 1))
    with pytest.raises(UserError, match="altered"):
        tidy.observations(tmp_path)


def test_another_schema_version_is_named(tmp_path):
    raw = tmp_path / "raw" / "one" / "00.jsonl"
    raw.parent.mkdir(parents=True)
    raw.write_text('{"schema_version": 7, "kind": "request", "cell": 0}\n')
    content = {"session": "one/00", "sut": "one", "block": 0}
    manifest.seal(raw, content, target=manifest.path_for(raw))
    with pytest.raises(UserError, match="schema_version"):
        tidy.observations(tmp_path)
