"""A decision as text, as a Mermaid diagram and as JSON; undecided branches are shown as such."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from inferometer.findings import Branch, Decision, Leaf, Node, to_json


@dataclass(frozen=True)
class Step:
    """A question met on the way; `answer` is `None` where its finding leaves it open."""

    question: str
    answer: bool | None
    finding: str | None


@dataclass(frozen=True)
class Walk:
    """The way of one case through a decision, and the advice that it leaves possible."""

    steps: list[Step]
    advice: list[str]


def walk(decision: Decision, case: Mapping[str, float]) -> Walk:
    """Answer the reader's questions from `case` (factor -> value), the others by their findings.

    The way ends at advice, or at the first question that nothing answers: then all advice beyond
    it is possible. Raises `KeyError` for a factor that `case` does not give.
    """
    steps, node = [], decision.root
    while isinstance(node, Branch):
        answer = node.holds
        if node.case is not None:
            answer = case[node.case.factor] >= node.case.least
        steps.append(Step(node.question, answer, node.finding))
        if answer is None:
            break
        node = node.yes if answer else node.no
    return Walk(steps, advice(decision.model_copy(update={"root": node})))


def undecided(decision: Decision) -> Decision:
    """The same tree with every branch left open: quick depth decides nothing."""

    def opened(node: Node) -> Node:
        if isinstance(node, Leaf):
            return node
        return node.model_copy(
            update={"holds": None, "yes": opened(node.yes), "no": opened(node.no)}
        )

    return decision.model_copy(update={"root": opened(decision.root)})


def advice(decision: Decision) -> list[str]:
    """The advice that the findings leave possible: one text when every branch is decided."""

    def reached(node: Node) -> Iterator[str]:
        if isinstance(node, Leaf):
            yield node.advice
            return
        if node.holds is not False:
            yield from reached(node.yes)
        if node.holds is not True:
            yield from reached(node.no)

    return list(dict.fromkeys(reached(decision.root)))


def findings_of(decision: Decision) -> list[str]:
    """The findings that the tree rests on, in the order of its questions."""

    def named(node: Node) -> Iterator[str]:
        if isinstance(node, Branch):
            if node.finding:
                yield node.finding
            yield from named(node.yes)
            yield from named(node.no)

    return list(dict.fromkeys(named(decision.root)))


def as_text(decision: Decision) -> str:
    """An indented tree; `▶` marks the ways that the findings take, `?` undecided ones."""
    lines: list[str] = []

    def write(node: Node, depth: int, label: str, mark: str) -> None:
        words = node.advice if isinstance(node, Leaf) else f"{node.question}{_state(node)}"
        arrow = "→ " if isinstance(node, Leaf) else ""
        lines.append(f"{mark} {'    ' * depth}{label}{arrow}{words}")
        if isinstance(node, Branch):
            for answer, holds, child in (("yes", True, node.yes), ("no", False, node.no)):
                write(child, depth + 1, f"{answer}: ", _mark(node, holds, mark))

    write(decision.root, 0, "", "▶")
    return "\n".join(line.rstrip() for line in lines)


def as_mermaid(decision: Decision) -> str:
    """A Mermaid flow chart: thick arrows are taken, dotted ones undecided, thin ones neither."""
    lines = ["flowchart TD"]
    count = 0

    def write(node: Node) -> str:
        nonlocal count
        name = f"n{count}"
        count += 1
        if isinstance(node, Leaf):
            lines.append(f'  {name}["{_quoted(node.advice)}"]')
            return name
        lines.append(f'  {name}{{"{_quoted(node.question + _state(node))}"}}')
        for answer, holds, child in (("yes", True, node.yes), ("no", False, node.no)):
            arrow = "==>" if node.holds is holds else "-.->" if _is_open(node) else "-->"
            target = write(child)
            lines.append(f"  {name} {arrow}|{answer}| {target}")
        return name

    write(decision.root)
    return "\n".join(lines) + "\n"


def as_json(decision: Decision) -> str:
    """Indented JSON of the whole decision."""
    return to_json(decision.model_dump(mode="json")) + "\n"


def _is_open(node: Branch) -> bool:
    """A finding should decide and does not; without a finding the reader's own case decides."""
    return node.holds is None and node.finding is not None


def _state(node: Branch) -> str:
    if node.holds is None:
        return " (undecided)" if _is_open(node) else " (your case)"
    return " (yes)" if node.holds else " (no)"


def _mark(node: Branch, holds: bool, above: str) -> str:
    """The mark of a child: taken, undecided, or not taken, given the mark of its parent."""
    if above == " " or (node.holds is not None and node.holds is not holds):
        return " "
    return "?" if _is_open(node) else above


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;")
