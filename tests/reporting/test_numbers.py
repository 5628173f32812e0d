import pytest

from inferometer.errors import UserError
from inferometer.findings import Finding, Interval, Rows
from inferometer.reporting import numbers


def finding(value, low=None, high=None, unit="", **more) -> Finding:
    bounds = None if low is None and high is None else Interval(low=low, high=high)
    return Finding(
        id="x",
        title="x",
        value=value,
        unit=unit,
        interval=bounds,
        no_interval=None if bounds else "a count",
        n=7,
        estimator="mean",
        rows=Rows(where={}, count=1, digest="d"),
        **more,
    )


@pytest.mark.parametrize(
    ("found", "value", "interval"),
    [
        (finding(0.31246, 0.28991, 0.33482), "0.312", "[0.290, 0.335]"),
        (finding(12345.6, 12000.0, 13000.0), "12350", "[12000, 13000]"),
        (finding(0.00002, 0.00001, 0.00003), "2.0e-5", "[1.0e-5, 3.0e-5]"),
        (finding(-0.001, -0.02, 0.03), "−0.001", "[−0.020, 0.030]"),
        (finding(0.0004, -0.2, 0.2), "0.00", "[−0.20, 0.20]"),
        (finding(0.5, 0.4), "0.50", "[≥ 0.40]"),
        (finding(0.5, None, 0.75), "0.50", "[≤ 0.75]"),
        (finding(3, 3, 3), "3", "[3, 3]"),
    ],
)
def test_digits_follow_the_width_of_the_interval(found, value, interval):
    assert numbers.value(found) == value
    assert numbers.interval(found) == interval


@pytest.mark.parametrize(
    ("value", "written"),
    [(5, "5"), (1234567, "1234567"), (0.123456, "0.123"), (123456.7, "123457"), (0.0, "0")],
)
def test_without_interval_three_digits_and_whole_numbers_whole(value, written):
    assert numbers.value(finding(value)) == written
    assert numbers.interval(finding(value)) == "no interval (a count)"


def test_undefined_and_words():
    assert numbers.value(finding(None, reason="no peak")) == "not defined (no peak)"
    assert numbers.value(finding(True)) == "yes"
    assert numbers.value(finding("usl")) == "usl"


def test_units_convert_within_their_kind():
    found = finding(0.0123, 0.0121, 0.0125, unit="s")
    assert numbers.value(found, numbers.factor(found, "ms")) == "12.30"
    with pytest.raises(UserError, match="finding x: is in 's' and cannot be written in 'MiB'"):
        numbers.factor(found, "MiB")


def test_p_values():
    assert numbers.significant(0.03141) == "0.0314"
    assert numbers.significant(1e-9) == "< 0.0001"


def test_short_times_read_in_milliseconds():
    assert numbers.readable_unit(finding(0.0123, unit="s")) == "ms"
    assert numbers.readable_unit(finding(1.23, unit="s")) == "s"
    assert numbers.readable_unit(finding(0.0, unit="s")) == "s"
    assert numbers.readable_unit(finding(0.0123, unit="tokens/s")) == "tokens/s"
