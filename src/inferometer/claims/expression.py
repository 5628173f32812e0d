"""Arithmetic that a registry may contain: parsed, never executed as Python.

Numbers, names, + - * / // % **, comparisons, and/or/not, tuples, and calls of the functions in a
table. Attribute access, subscripts, lambdas, comprehensions, strings and every other construct are
refused by name, so a registry from a stranger can be judged without trusting it.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MAX_CHARACTERS = 500
MAX_NODES = 250
MAX_EXPONENT = 64
MAX_MAGNITUDE = 1e30

Value = Any
"""A float, a bool, a text, a tuple of floats, or an `Architecture`."""


class ExpressionError(ValueError):
    """Why an expression is refused or cannot be computed."""


@dataclass(frozen=True)
class Comparison:
    """One comparison as it came out: `left op right`, both numbers."""

    left: float
    op: str
    right: float
    holds: bool


ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], bool]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
}
WORDS: dict[type[ast.AST], str] = {
    ast.Attribute: "attribute access",
    ast.Subscript: "indexing",
    ast.Lambda: "lambda",
    ast.ListComp: "comprehension",
    ast.GeneratorExp: "comprehension",
    ast.DictComp: "comprehension",
    ast.SetComp: "comprehension",
    ast.IfExp: "if/else",
    ast.JoinedStr: "text",
    ast.NamedExpr: "assignment",
    ast.Starred: "unpacking",
    ast.Await: "await",
}
PLAIN = (ast.Expression, ast.Load, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)


@lru_cache(maxsize=4096)
def parse(text: str) -> ast.expr:
    """The expression tree; raises `ExpressionError` naming what is not arithmetic."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"longer than {MAX_CHARACTERS} characters; split it into named steps")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ExpressionError(f"not an expression ({message})") from None
    nodes = list(ast.walk(tree))
    if len(nodes) > MAX_NODES:
        raise ExpressionError("too large; split it into named steps")
    for node in nodes:
        if reason := _refusal(node):
            raise ExpressionError(f"{reason} is not arithmetic; use numbers, names and functions")
    return tree.body


def _refusal(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant):
        number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return None if number else f"the constant {node.value!r}"
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name):
            return "calling something other than a named function"
        return "a keyword argument" if node.keywords else None
    if isinstance(node, ast.BinOp) and type(node.op) not in ARITHMETIC:
        return f"the operator {type(node.op).__name__}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return "the operator ~"
    if isinstance(node, ast.Compare) and any(type(op) not in COMPARISONS for op in node.ops):
        return "in, is, and their negations:"
    allowed = (ast.Name, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.Tuple)
    if isinstance(node, allowed + PLAIN):
        return None
    return WORDS.get(type(node), type(node).__name__)


def names(text: str) -> set[str]:
    """Names that the expression uses as values; the functions it calls are not among them."""
    tree = parse(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called
    }


def calls(text: str) -> set[str]:
    """Names of the functions that the expression calls."""
    return {
        node.func.id
        for node in ast.walk(parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def evaluate(
    text: str,
    values: Mapping[str, Value],
    functions: Mapping[str, Callable[..., Value]],
    comparisons: list[Comparison] | None = None,
) -> Value:
    """Compute an expression.

    Parameters
    ----------
    values, functions
        What its names stand for; anything else is refused with the nearest known names.
    comparisons
        Collects the numeric comparisons that were made, so that a verdict can state factors.

    Raises
    ------
    ExpressionError
        For an unknown name, a division by zero, a power or result beyond the limits.
    """
    return _Evaluation(values, functions, comparisons).of(parse(text))


class _Evaluation:
    def __init__(
        self,
        values: Mapping[str, Value],
        functions: Mapping[str, Callable[..., Value]],
        comparisons: list[Comparison] | None,
    ) -> None:
        self.values = values
        self.functions = functions
        self.comparisons = comparisons

    def of(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Constant):
            return number(node.value)
        if isinstance(node, ast.Name):
            return self.lookup(node.id, self.values, "name")
        if isinstance(node, ast.Tuple):
            return tuple(self.real(element) for element in node.elts)
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                return not self.of(node.operand)
            value = self.real(node.operand)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp):
            return self.binary(node)
        if isinstance(node, ast.Compare):
            return self.compare(node)
        if isinstance(node, ast.BoolOp):
            results = [bool(self.of(part)) for part in node.values]
            return all(results) if isinstance(node.op, ast.And) else any(results)
        assert isinstance(node, ast.Call)  # parse() lets nothing else through
        return self.call(node)

    def real(self, node: ast.expr) -> float:
        value = self.of(node)
        if isinstance(value, bool) or not isinstance(value, int | float):
            kind = "a text" if isinstance(value, str) else type(value).__name__
            raise ExpressionError(f"{ast.unparse(node)} is {kind}, not a number")
        return float(value)

    def binary(self, node: ast.BinOp) -> float:
        left, right = self.real(node.left), self.real(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) > MAX_EXPONENT:
            raise ExpressionError(
                f"{ast.unparse(node)}: exponents beyond {MAX_EXPONENT} are refused"
            )
        try:
            return number(ARITHMETIC[type(node.op)](left, right))
        except ZeroDivisionError:
            raise ExpressionError(f"{ast.unparse(node)}: division by zero") from None
        except OverflowError:
            raise ExpressionError(f"{ast.unparse(node)}: too large") from None

    def compare(self, node: ast.Compare) -> bool:
        operands = [self.real(part) for part in (node.left, *node.comparators)]
        verdict = True
        for op, left, right in zip(node.ops, operands, operands[1:], strict=False):
            symbol, function = COMPARISONS[type(op)]
            holds = function(left, right)
            verdict = verdict and holds
            if self.comparisons is not None:
                self.comparisons.append(Comparison(left, symbol, right, holds))
        return verdict

    def call(self, node: ast.Call) -> Value:
        assert isinstance(node.func, ast.Name)
        function = self.lookup(node.func.id, self.functions, "function")
        arguments = [self.of(argument) for argument in node.args]
        try:
            result = function(*arguments)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ExpressionError(f"{ast.unparse(node)}: {error}") from None
        if isinstance(result, Comparison):
            if self.comparisons is not None:
                self.comparisons.append(result)
            return result.holds
        return result if isinstance(result, bool | tuple) else number(result)

    def lookup(self, name: str, table: Mapping[str, Any], kind: str) -> Any:
        if name in table:
            return table[name]
        stem = name.split("_")[0][:4]
        near = sorted(known for known in table if stem and stem in known)[:6]
        hint = f"; near: {', '.join(near)}" if near else ""
        raise ExpressionError(f"unknown {kind} {name!r}{hint}")


def number(value: Any) -> float:
    """A finite float of sensible size, or `ExpressionError`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError(f"{value!r} is not a real number")
    if not math.isfinite(value) or abs(value) > MAX_MAGNITUDE:
        raise ExpressionError(f"a value beyond {MAX_MAGNITUDE:g} is refused")
    return float(value)


def substituted(text: str, values: Mapping[str, Value]) -> str:
    """The expression with its names replaced by their numbers, for showing."""
    return ast.unparse(_Substitution(values).visit(ast.parse(text.strip(), mode="eval")))


class _Substitution(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, Value]) -> None:
        self.values = values

    def visit_Call(self, node: ast.Call) -> ast.Call:  # the function's name stays
        node.args = [self.visit(argument) for argument in node.args]
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Name(id=shown(node.value))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self.values.get(node.id)
        plain = isinstance(value, int | float | str) and not isinstance(value, bool)
        return ast.Name(id=shown(value)) if plain else node


def shown(value: Value) -> str:
    """A value as reports print it: six significant digits, integers in full."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if float(value).is_integer() and abs(value) < 1e9:
            return str(int(value))
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return "(" + ", ".join(shown(part) for part in value) + ")"
    return value if isinstance(value, str) else value.name
