import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.load import sse

payloads = st.lists(
    st.binary(max_size=30).filter(lambda b: b"\n" not in b and b == b.strip()), max_size=8
)


@given(
    payloads=payloads,
    space=st.sampled_from([b"", b" "]),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    cuts=st.lists(st.integers(min_value=0, max_value=400)),
)
def test_any_split_gives_the_same_payloads(payloads, space, line_end, cuts):
    stream = b"".join(
        b": a comment"
        + line_end
        + b"event: x"
        + line_end
        + b"data:"
        + space
        + payload
        + 2 * line_end
        for payload in payloads
    )
    bounds = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    lines = sse.DataLines()
    found = []
    for start, end in itertools.pairwise(bounds):
        found += lines.feed(stream[start:end])
    assert found == payloads


def test_line_waits_for_its_end():
    lines = sse.DataLines()
    assert lines.feed(b'data: {"a"') == []
    assert lines.feed(b":1}") == []
    assert lines.feed(b"\n") == [b'{"a":1}']


def test_line_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "LONGEST_LINE_BYTES", 100)
    lines = sse.DataLines()
    for _ in range(10):
        lines.feed(b"data: xxxx")
    with pytest.raises(ValueError, match="without an end"):
        lines.feed(b"x")
