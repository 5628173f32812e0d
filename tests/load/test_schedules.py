import json
from pathlib import Path

import numpy as np
import pytest

from inferometer.errors import UserError
from inferometer.load import schedules
from inferometer.stats import arrivals


def test_constant_gaps():
    assert schedules.constant(4, count=3) == [0, 0.25, 0.5]
    assert schedules.constant(4, seconds=0.5) == [0, 0.25]


def test_poisson_is_seeded_and_has_its_rate():
    times = schedules.poisson(50, count=5000, seed=3)
    assert times == schedules.poisson(50, count=5000, seed=3) == sorted(times)
    assert times != schedules.poisson(50, count=5000, seed=4)
    assert 5000 / times[-1] == pytest.approx(50, rel=0.05)


@pytest.mark.parametrize("cv", [0.5, 1.0, 3.0])
def test_gamma_has_its_rate_and_spread(cv):
    gaps = np.diff(schedules.gamma(20, cv, count=20_000, seed="s"))
    assert gaps.mean() == pytest.approx(1 / 20, rel=0.07)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.07)


def test_one_seed_is_one_schedule_at_every_speed():
    slow = schedules.draw("poisson", 2, 30, "128/0/0.5", Path())
    fast = schedules.draw("poisson", 8, 30, "128/0/0.5", Path())
    assert [at / 4 for at in slow] == pytest.approx(fast[: len(slow)])
    assert max(slow) < 30


def test_arrivals_are_what_they_are_called():
    runs = {
        law: [schedules.draw(law, 10, 60, f"{law}/{n}", Path()) for n in range(8)]
        for law in ("poisson", "gamma-2", "constant")
    }
    seen = {law: arrivals.dispersion(times, [60] * 8) for law, times in runs.items()}
    assert seen["poisson"].ci[0] < 1 < seen["poisson"].ci[1]
    assert seen["gamma-2"].ci[0] > 1
    assert seen["constant"].ci[1] < 1
    low, high = arrivals.gap_correlation(runs["poisson"]).ci
    assert low < 0 < high


@pytest.mark.parametrize(
    "text",
    [
        "0.5\n1.5\n\n4\n",
        "0.5,a\n1.5,b\n4,c\n",
        "model,timestamp\nx,0.5\ny,1.5\nz,4\n",
        '{"seconds": 0.5}\n{"seconds": 1.5, "tokens": 3}\n{"timestamp": 4}\n',
    ],
)
def test_traces_of_every_form(tmp_path, text):
    path = tmp_path / "trace"
    path.write_text(text)
    assert schedules.trace(path) == [0.5, 1.5, 4]
    assert schedules.trace(path, seconds=4) == [0.5, 1.5]
    stretched = schedules.draw("trace:trace", 3, 60, "unused", tmp_path)
    assert stretched == pytest.approx([0.125, 0.375, 1.0])  # three in one second


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\n0.5\n", "entry 2"),
        ("1\nlater\n", "line 2: 'later' is no time"),
        ("1\n-2\n", "line 2"),
        ("when,what\n1,a\n", "no column of times among when, what"),
        ('{"at": 1}\n', "line 1: None is no time"),
        ('{"seconds": 1\n', "line 1 is not JSON"),
        ("5\n", "two times"),
        ("", "two times"),
        (json.dumps({"seconds": "nan"}) + "\n", "line 1"),
    ],
)
def test_a_bad_trace_is_refused_with_file_and_line(tmp_path, text, words):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        schedules.trace(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_a_missing_trace_is_a_message(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        schedules.draw("trace:nowhere.csv", 1, 1, "s", tmp_path)


@pytest.mark.parametrize("law", ["uniform", "gamma", "gamma-0", "gamma-x", "trace:", ""])
def test_an_unknown_law_is_refused(law):
    with pytest.raises(UserError, match="use poisson, constant, gamma-<CV>"):
        schedules.draw(law, 1, 1, "s", Path())


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match="not possible"):
        schedules.draw("poisson", rate, 1, "s", Path())
