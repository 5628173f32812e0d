import pytest

from inferometer.reporting import lint


@pytest.mark.parametrize(
    "line",
    [
        "TR129 says p95 of SmolLM2-135M-Instruct",
        "at [0.312 [0.290, 0.335] s](tr9.evidence.md#eta) of the whole",
        "`slots=8` and ``a`7`` stay",
        "![latency 5 ms](../results/x-2c/figures/f1.svg)",
        "## 3 results",
        "<img src='a1.svg' width=700>",
        "<!-- 5 -->",
    ],
)
def test_allowed(line):
    assert lint.unlinked(line) == []


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("about 12.5 % less", "12.5"),
        ("takes 12ms", "12"),
        ("N=8 is best", "8"),
        ("falls by −0.3", "−0.3"),
        ("see [5 more](other.md)", "5"),
        ("| a | 3 |", "3"),
        ("[7](tr9.evidence.md#x) and 7", "7"),
        ("a 5](x", "5"),
    ],
)
def test_flagged(line, number):
    found = lint.unlinked(f"# Title\n\n{line}")
    assert [(bare.line, bare.number) for bare in found] == [(3, number)]
    assert "line 3" in str(found[0])


def test_tables_keep_header_and_first_column():
    table = "| at 1 | at 2 |\n|---|---:|\n| 1 | 2 |\n| 3 | [4](a.evidence.md#x) |"
    assert [(bare.line, bare.number) for bare in lint.unlinked(table)] == [(3, "2")]


def test_sections_that_quote_the_design_are_left_out():
    text = "## Question\n\n5?\n\n## Results\n\n5!\n\n### Detail 3\n\n6"
    assert [bare.number for bare in lint.unlinked(text)] == ["5", "6"]


def test_fences_are_code():
    assert [bare.number for bare in lint.unlinked("```text\n5\n```\n6")] == ["6"]
