"""One claim in full, as text: the arithmetic step by step, the constants, the finding."""

from inferometer.claims import expression
from inferometer.claims.schema import Quantity
from inferometer.claims.verdicts import Judged, Verdicts


def claim_text(item: Judged, verdicts: Verdicts) -> str:
    """What `inferometer claims show` prints."""
    claim, source = item.claim, item.source
    lines = [
        f"{claim.id}  [{claim.kind}]",
        f"  {claim.statement}",
        f"  {source.title} ({source.id}, {source.dated}), {claim.locator}",
        "",
        f"verdict: {item.verdict}",
        f"  {item.reason}",
    ]
    lines += _section("published", [published(quantity) for quantity in claim.quantities])
    lines += _section("arithmetic", arithmetic(item))
    lines += _section("constants", constants_used(item, verdicts))
    lines += _section("runs", [f"{run.verdict}: {run.reason}" for run in item.runs])
    lines += _section("comment", [claim.note] if claim.note else [])
    lines += _section("evidence", list(claim.evidence))
    return "\n".join(lines) + "\n"


def published(quantity: Quantity) -> str:
    """A quantity as published: `throughput = 60 to 100 tok/s`."""
    value = quantity.value
    if isinstance(value, tuple):
        text = f"{expression.shown(value[0])} to {expression.shown(value[1])}"
    else:
        text = expression.shown(value)
    return f"{quantity.name} = {text} {quantity.unit}"


def arithmetic(item: Judged) -> list[str]:
    """Every step and test with its numbers."""
    if item.check is None:
        return []
    lines = []
    for step in item.check.steps:
        numbers = "" if step.numbers in (step.expr, step.value) else f" = {step.numbers}"
        lines.append(f"{step.name} = {step.expr}{numbers} = {step.value} {step.unit}".rstrip())
    for test in item.check.tests:
        word = "holds" if test.holds else "fails"
        factor = f", off by a factor {test.factor:.3g}" if test.factor else ""
        lines.append(
            f"{test.expr}: {test.numbers} {word}{factor}: {test.verdict} (against {test.against})"
        )
    return lines


def constants_used(item: Judged, verdicts: Verdicts) -> list[str]:
    """The constants behind the check with value, status and source."""
    if item.check is None:
        return []
    lines = []
    for name in item.check.constants:
        constant = verdicts.constants.sources[name]
        value = expression.shown(constant.value)
        lines.append(
            f"{name} = {value} {constant.unit} [{constant.status}] "
            f"{constant.source} (seen {constant.seen.isoformat()})"
        )
    return lines


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {line}" for line in lines)] if lines else []
