import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.claims import expression
from inferometer.claims.expression import Comparison, ExpressionError
from inferometer.claims.functions import FUNCTIONS


def value(text: str, **names: float) -> object:
    return expression.evaluate(text, names, FUNCTIONS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2*3 - 4/8", 6.5),
        ("2**10", 1024),
        ("-(7 // 2) + 7 % 4", 0),
        ("1 < 2 <= 2", True),
        ("1 < 2 and not 3 > 4", True),
        ("1 == 2 or 3 != 3", False),
        ("sum(1, 2, 3.5)", 6.5),
        ("max(1, 5, 3)", 5),
        ("1e3", 1000),
    ],
)
def test_arithmetic(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x.__class__", "attribute access"),
        ("().__class__.__bases__", "attribute access"),
        ("__import__('os').system('true')", "calling something other than a named function"),
        ("(lambda: 1)()", "something other than a named function"),
        ("[x for x in (1, 2)]", "comprehension"),
        ("sum(x for x in (1, 2))", "comprehension"),
        ("{1: 2}", "Dict"),
        ("[1, 2]", "List"),
        ("x[0]", "indexing"),
        ("'text'", "the constant 'text'"),
        ("f'{x}'", "text"),
        ("1 if x else 2", "if/else"),
        ("(y := 3)", "assignment"),
        ("sum(*x)", "unpacking"),
        ("round(1, ndigits=2)", "a keyword argument"),
        ("1 << 90", "the operator LShift"),
        ("~1", "the operator ~"),
        ("1 in (1, 2)", "in, is"),
        ("True", "the constant True"),
        ("1j", "the constant 1j"),
        ("import os", "not an expression"),
        ("1 +", "not an expression"),
        ("", "not an expression"),
        ("\0", "not an expression"),
        ("1;2", "not an expression"),
    ],
)
def test_what_is_not_arithmetic_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason):
        expression.parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("9**9**9", "exponents beyond 64"),
        ("10.0**60", "beyond 1e\\+30"),
        ("1e400", "beyond 1e\\+30"),
        ("2 / (x - x)", "division by zero"),
        ("2 % 0", "division by zero"),
        ("(-8)**0.5", "not a real number"),
        ("eval(1)", "unknown function 'eval'"),
        ("open(1)", "unknown function 'open'"),
        ("missing + 1", "unknown name 'missing'"),
        ("log(0)", "log\\(0\\)"),
        ("sqrt(-1)", "sqrt"),
        ("decode_ceiling(0, 1)", "bandwidth must be above 0"),
        ("decode_ceiling(1)", "decode_ceiling"),
        ("(1, 2) + 1", "not a number"),
        ("(1 < 2) + 1", "not a number"),
    ],
)
def test_what_cannot_be_computed_says_why(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason):
        value(text, x=3)


def test_size_is_limited() -> None:
    with pytest.raises(ExpressionError, match="longer than 500"):
        expression.parse("1+" * 300 + "1")
    with pytest.raises(ExpressionError, match="too large"):
        expression.parse("+".join("1" * 126))
    with pytest.raises(ExpressionError):
        expression.parse("(" * 240 + "1" + ")" * 240)


def test_unknown_names_come_with_near_ones() -> None:
    with pytest.raises(ExpressionError, match="near: bandwidth_high, bandwidth_low"):
        value("bandwidth + 1", bandwidth_low=1, bandwidth_high=2)


def test_comparisons_are_collected() -> None:
    seen: list[Comparison] = []
    assert expression.evaluate("a <= b", {"a": 9.0, "b": 3.0}, FUNCTIONS, seen) is False
    assert expression.evaluate("close(a, b)", {"a": 9.0, "b": 3.0}, FUNCTIONS, seen) is False
    assert [(c.left, c.right, c.holds) for c in seen] == [(9, 3, False), (9, 3, False)]


def test_numbers_are_shown_in_place_of_names() -> None:
    names = {"rate": 6400.0, "lanes": 2.0}
    assert expression.substituted("rate*1e6*lanes/8", names) == "6400 * 1000000 * 2 / 8"
    assert expression.substituted("sum(rate, lanes)", names) == "sum(6400, 2)"


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        expression.parse(text)


@given(
    st.recursive(
        st.sampled_from(["1", "2.5", "x", "y", "0"]),
        lambda inner: st.tuples(inner, st.sampled_from("+-*/%") | st.just("**"), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
        max_leaves=12,
    )
)
def test_any_arithmetic_gives_a_finite_number_or_an_error(text: str) -> None:
    try:
        result = expression.evaluate(text, {"x": 3.0, "y": -0.5}, FUNCTIONS)
    except ExpressionError:
        return
    assert isinstance(result, float)
    assert abs(result) <= expression.MAX_MAGNITUDE


def test_predicates_by_hand() -> None:
    assert value("rounds_to(57.27, 57.3, 0.1)") is True
    assert value("rounds_to(57.34, 57.3, 0.01)") is False
    assert value("between(5, 1, 9)") is True
    assert value("inside(2, 3, 1, 4)") is True
    assert value("inside(2, 5, 1, 4)") is False
    assert value("meets(1, 3, 3, 9)") is True
    assert value("meets(1, 2, 3, 9)") is False
    assert value("reaches(12, 8.9)") is True
    with pytest.raises(ExpressionError, match="low 9 is above high 1"):
        value("between(5, 9, 1)")


def test_statistics_by_hand() -> None:
    # 1.96 x sqrt(.25/100) and (1.96 + .8416) sqrt(2/50)
    assert value("proportion_half_width(0.5, 100)") == pytest.approx(0.098, abs=1e-4)
    assert value("detectable_effect(50)") == pytest.approx(0.5603, abs=1e-4)
    assert value("samples_for_effect(0.2)") == pytest.approx(392.4, abs=0.1)
    assert value("samples_for_proportions(0.9985, 0.9992)") == pytest.approx(36796, rel=1e-3)
