"""Judge a claim by its own check: every step computed, the gravest test decides."""

import math
from dataclasses import dataclass

from inferometer.claims import expression
from inferometer.claims.expression import Comparison, ExpressionError, Value
from inferometer.claims.functions import FUNCTIONS
from inferometer.claims.registry import Constants, Entry, quantity_values
from inferometer.claims.schema import Claim, Condition, VerdictKind
from inferometer.errors import UserError

OUTCOMES: dict[str, tuple[VerdictKind, VerdictKind]] = {
    "identity": ("consistent", "inconsistent"),
    "limit": ("consistent", "impossible"),
    "bound": ("plausible", "impossible"),
    "support": ("plausible", "inconsistent"),
}
"""Role of a test -> verdict when it holds, and when it fails."""

GRAVITY: tuple[VerdictKind, ...] = ("consistent", "plausible", "inconsistent", "impossible")
WEAK = ("unsourced", "archive")
OWN = "its own numbers"


@dataclass(frozen=True)
class StepResult:
    """A step with its numbers."""

    name: str
    expr: str
    numbers: str
    value: str
    unit: str


@dataclass(frozen=True)
class TestResult:
    """A test with its numbers; `factor` is how far a failed comparison is off, where it has one."""

    __test__ = False  # not a test case, whatever its name

    expr: str
    numbers: str
    holds: bool
    verdict: VerdictKind
    against: str
    factor: float | None
    constants: tuple[str, ...]


@dataclass(frozen=True)
class CheckResult:
    """The verdict of a check, how it came about, and the constants that it used and hangs on."""

    verdict: VerdictKind
    steps: tuple[StepResult, ...]
    tests: tuple[TestResult, ...]
    constants: tuple[str, ...]
    weak: tuple[str, ...]
    """Unsourced constants, and archive values not re-measured, that the verdict hangs on."""

    @property
    def deciding(self) -> tuple[TestResult, ...]:
        """The tests that gave the verdict."""
        return tuple(test for test in self.tests if test.verdict == self.verdict)

    @property
    def factor(self) -> float | None:
        """The largest factor by which a deciding test failed."""
        factors = [test.factor for test in self.deciding if test.factor is not None]
        return max(factors, default=None)


def check(entry: Entry, constants: Constants) -> CheckResult | None:
    """Compute a claim's check; `None` when it has none.

    Raises `UserError` naming file, id and key when a step cannot be computed.
    """
    claim = entry.claim
    if claim.check is None:
        return None
    values = values_of(claim, constants)
    used: dict[str, set[str]] = {name: {name} for name in constants.values}
    steps = []
    for step in claim.check.steps:
        key = f"check.steps.{step.name}"
        value = _compute(entry, key, step.expr, values)
        numbers = expression.substituted(step.expr, values)
        used[step.name] = _constants_behind(step.expr, used)
        values[step.name] = value
        steps.append(StepResult(step.name, step.expr, numbers, expression.shown(value), step.unit))
    tests = tuple(
        _test(entry, f"check.tests.{at}", test, values, used)
        for at, test in enumerate(claim.check.tests)
    )
    return _result(tuple(steps), tests, used, constants)


def values_of(claim: Claim, constants: Constants) -> dict[str, Value]:
    """Everything that the claim's expressions may name, its steps aside."""
    return {**constants.values, **quantity_values(claim)}


def step_values(entry: Entry, constants: Constants) -> dict[str, Value]:
    """The same with the steps computed."""
    values = values_of(entry.claim, constants)
    for step in entry.claim.check.steps if entry.claim.check else ():
        values[step.name] = _compute(entry, f"check.steps.{step.name}", step.expr, values)
    return values


def _result(
    steps: tuple[StepResult, ...],
    tests: tuple[TestResult, ...],
    used: dict[str, set[str]],
    constants: Constants,
) -> CheckResult:
    verdict = max((test.verdict for test in tests), key=GRAVITY.index)
    names = {name for test in tests for name in test.constants}
    for step in steps:
        names |= used[step.name]
    weak = _hangs_on(verdict, tests, constants)
    return CheckResult(verdict, steps, tests, tuple(sorted(names)), weak)


def _hangs_on(
    verdict: VerdictKind, tests: tuple[TestResult, ...], constants: Constants
) -> tuple[str, ...]:
    """Constants not verified here without which the verdict would not stand.

    A failing verdict stands as long as one deciding test rests on verified values alone; a
    holding one needs every test.
    """

    def weak(test: TestResult) -> set[str]:
        return {name for name in test.constants if constants.sources[name].status in WEAK}

    if verdict in ("impossible", "inconsistent"):
        deciding = [test for test in tests if test.verdict == verdict]
        if any(not weak(test) for test in deciding):
            return ()
        return tuple(sorted({name for test in deciding for name in weak(test)}))
    return tuple(sorted({name for test in tests for name in weak(test)}))


def _test(
    entry: Entry,
    key: str,
    test: Condition,
    values: dict[str, Value],
    used: dict[str, set[str]],
) -> TestResult:
    comparisons: list[Comparison] = []
    holds = _compute(entry, key, test.expr, values, comparisons)
    if not isinstance(holds, bool):
        raise UserError(f"{entry.where}: {key}: {test.expr!r} is no test; compare two values")
    passes, fails = OUTCOMES[test.role]
    names = tuple(sorted(_constants_behind(test.expr, used)))
    return TestResult(
        expr=test.expr,
        numbers=expression.substituted(test.expr, values),
        holds=holds,
        verdict=passes if holds else fails,
        against=test.against or (f"published facts ({', '.join(names)})" if names else OWN),
        factor=None if holds else _factor(comparisons),
        constants=names,
    )


def _factor(comparisons: list[Comparison]) -> float | None:
    """How far the worst failed comparison is off, as a ratio above 1; `None` without a ratio."""
    ratios = [
        max(c.left / c.right, c.right / c.left)
        for c in comparisons
        if not c.holds and c.left > 0 and c.right > 0
    ]
    finite = [ratio for ratio in ratios if math.isfinite(ratio) and ratio > 1]
    return max(finite, default=None)


def _constants_behind(text: str, used: dict[str, set[str]]) -> set[str]:
    return {name for part in expression.names(text) for name in used.get(part, set())}


def _compute(
    entry: Entry,
    key: str,
    text: str,
    values: dict[str, Value],
    comparisons: list[Comparison] | None = None,
) -> Value:
    try:
        return expression.evaluate(text, values, FUNCTIONS, comparisons)
    except ExpressionError as error:
        raise UserError(f"{entry.where}: {key}: {text!r}: {error}") from None
