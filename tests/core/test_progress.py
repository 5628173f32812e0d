"""The time left of a measurement, whose sessions are not all alike."""

import pytest

from inferometer import progress
from inferometer.progress import Position, SessionProgress, expected_s

SESSIONS = [("a", 4), ("b", 4), ("a", 1), ("b", 1), ("a", 1), ("b", 1)]


def test_sessions_are_expected_to_take_what_like_ones_took():
    assert expected_s(SESSIONS, []) is None
    by_cell = expected_s(SESSIONS, [("a", 4, 200.0)])
    assert by_cell == [200, 200, 50, 50, 50, 50]
    seen = [("a", 4, 200.0), ("b", 4, 100.0), ("a", 1, 10.0)]
    assert expected_s(SESSIONS, seen) == [200, 100, 10, 10, 10, 10]
    seen += [("b", 1, 20.0), ("a", 1, 12.0)]
    assert expected_s(SESSIONS, seen) == [200, 100, 11, 20, 11, 20]


def test_the_time_left_counts_what_comes_after(monkeypatch):
    clock = iter([0.0, 0.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    cells = [cells for _, cells in SESSIONS]
    first = SessionProgress(Position("a", 0, cells, None))
    assert first.left_s() is None
    first.cell_done()
    assert first.left_s() == pytest.approx(11 * 30)  # at the pace of the first of twelve cells

    clock = iter([0.0, 30.0, 250.0])
    known = SessionProgress(Position("b", 1, cells, [200.0, 100.0, 10.0, 20.0, 10.0, 20.0]))
    assert known.left_s() == pytest.approx(70 + 60)
    assert known.left_s() == pytest.approx(60)  # longer than expected: nothing is owed
