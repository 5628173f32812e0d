import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.design import Gates
from inferometer.load.closed_loop import LoopResult, cell_gates, window_tokens
from inferometer.load.loop_result import summarize

GATES = Gates(failed_fraction=0.1, client_lag_p99_s=0.002, think_overrun_p99_s=0.005)


def record(**changes):
    return {
        "agent": 0,
        "sent_s": 1.0,
        "token_us": [100_000, 200_000, 300_000, 400_000],
        "prompt_tokens_asked": 8,
        "prompt_tokens": 8,
        "output_tokens_asked": 4,
        "completion_tokens": 4,
        "cached_tokens": 0,
        "status": "ok",
        "error": None,
        **changes,
    }


def result(**changes):
    return LoopResult(
        **{
            "window_start_s": 0.5,
            "window_end_s": 5.0,
            "requests": 1,
            "failed": 0,
            "per_agent_counts": (1,),
            "stop_reason": "quota met",
            "think_overruns": summarize([]),
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("start_s", "end_s", "tokens"),
    [(0, 10, 4), (1.15, 1.35, 2), (1.1, 1.4, 3), (2, 3, 0), (0, 1, 0)],
)
def test_tokens_inside_the_window(start_s, end_s, tokens):
    assert window_tokens(record(), start_s, end_s) == tokens


def test_events_weigh_what_the_server_counted():
    assert window_tokens(record(completion_tokens=6), 1.15, 1.35) == 3
    assert window_tokens(record(completion_tokens=None), 1.15, 1.35) == 2
    assert window_tokens(record(token_us=[]), 0, 10) == 0


@given(
    token_us=st.lists(st.integers(1, 10**6), max_size=30),
    cuts=st.lists(st.floats(0, 3), max_size=6),
    counted=st.none() | st.integers(1, 99),
)
def test_windows_that_meet_lose_and_double_nothing(token_us, cuts, counted):
    one = record(token_us=sorted(token_us), completion_tokens=counted)
    bounds = sorted([0, *cuts, 3])
    parts = [window_tokens(one, a, b) for a, b in itertools.pairwise(bounds)]
    assert sum(parts) == pytest.approx(window_tokens(one, 0, 3))


def test_good_cell_passes():
    assert cell_gates([record()], result(), GATES) == []


@pytest.mark.parametrize(
    ("records", "outcome", "words"),
    [
        ([], result(), "no request"),
        ([record(status="timeout", error="late")], result(), "1 of 1 requests failed"),
        ([record()], result(stop_reason="server gone"), "stopped answering"),
        ([record()], result(think_overruns=summarize([0.02])), "p99 20.0 ms (limit 5 ms)"),
        ([record(cached_tokens=3)], result(), "from a cache"),
        ([record(completion_tokens=5)], result(), "another output length"),
        ([record(prompt_tokens=9)], result(), "another prompt length"),
        ([record()], result(window_start_s=None, window_end_s=None), "no window"),
        ([record()], result(window_start_s=5.0), "no window"),
        ([record()], result(per_agent_counts=(1, 2, 0)), "sent nothing in the window: 1, 2"),
        ([record()], result(window_start_s=1.5), "sent nothing in the window: 0"),
    ],
)
def test_bad_cell_has_its_reason(records, outcome, words):
    reasons = cell_gates(records, outcome, GATES)
    assert any(words in reason for reason in reasons), reasons


def test_unsaid_counts_are_no_reason():
    silent = record(prompt_tokens=None, completion_tokens=None, cached_tokens=None)
    text = record(prompt_tokens_asked=None, prompt_tokens=11)
    assert cell_gates([silent, text], result(), GATES) == []


def test_some_failures_are_allowed_by_the_design():
    records = [record() for _ in range(19)] + [record(status="timeout", error="late")]
    assert cell_gates(records, result(), GATES) == []
