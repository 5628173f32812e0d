"""The sweep, the union and the self times against counting every nanosecond."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.profilers import intervals

pairs = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=12)


def arrays(spans: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    start = np.array([begin for begin, _ in spans], dtype=np.int64)
    return start, start + np.array([length for _, length in spans], dtype=np.int64)


def running(spans: list[tuple[int, int]]) -> np.ndarray:
    """How many intervals run in each nanosecond from 0 on."""
    count = np.zeros(50, dtype=int)
    for begin, length in spans:
        count[begin : begin + length] += 1
    return count


@given(pairs)
def test_sweep_and_union_agree_with_counting_every_instant(spans):
    count = running(spans)
    assert intervals.max_concurrency(*arrays(spans)) == count.max()
    assert intervals.busy_ns(*arrays(spans)) == (count > 0).sum()
    occupied = np.flatnonzero(count)
    idle = (count[occupied[0] : occupied[-1]] == 0).sum() if len(occupied) else 0
    assert intervals.gaps_ns(*arrays(spans)).sum() == idle


@given(pairs, pairs)
def test_idle_time_inside_spans_agrees_with_counting_every_instant(spans, work):
    covering = intervals.union(*arrays([*spans, *work]))
    idle = intervals.idle_ns(covering, *arrays(work))
    assert idle.sum() == ((running([*spans, *work]) > 0) & (running(work) == 0)).sum()
    assert (idle > 0).all()


@given(pairs)
def test_union_is_disjoint_and_in_order(spans):
    low, high = intervals.union(*arrays(spans))
    assert (high > low).all()
    assert (low[1:] > high[:-1]).all()


@st.composite
def nested(draw, low=0, high=60, depth=0):
    """Intervals that nest as calls do, with touching and empty ones."""
    found, at = [], low
    while at < high and draw(st.booleans()):
        begin = draw(st.integers(at, high))
        end = draw(st.integers(begin, high))
        found.append((begin, end))
        if depth < 3:
            found += draw(nested(begin, end, depth + 1))
        at = end
    return found


@given(nested(), st.randoms())
def test_self_times_add_up_to_the_union(spans, shuffle):
    shuffle.shuffle(spans)
    start = np.array([begin for begin, _ in spans], dtype=np.int64)
    end = np.array([finish for _, finish in spans], dtype=np.int64)
    own = intervals.self_ns(start, end, np.zeros(len(spans), dtype=np.int8))
    assert (own >= 0).all()
    assert own.sum() == intervals.busy_ns(start, end)


def test_self_time_of_known_calls_on_two_threads():
    start, end = np.array([0, 10, 20, 12, 5]), np.array([100, 30, 20, 14, 9])
    lane = np.array([0, 0, 0, 0, 1])
    assert intervals.self_ns(start, end, lane).tolist() == [80, 18, 0, 2, 4]


@pytest.mark.parametrize(
    ("spans", "most", "busy"),
    [
        ([], 0, 0),
        ([(5, 0)], 0, 0),
        ([(0, 10), (10, 10)], 1, 20),
        ([(0, 10), (9, 10)], 2, 19),
        ([(0, 30), (5, 5), (7, 1)], 3, 30),
        ([(20, 5), (0, 5)], 1, 10),
    ],
)
def test_known_answers(spans, most, busy):
    assert intervals.max_concurrency(*arrays(spans)) == most
    assert intervals.busy_ns(*arrays(spans)) == busy
