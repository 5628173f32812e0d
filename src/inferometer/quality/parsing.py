"""Strict parsers of answers in words: a letter of a multiple choice, a label, a function.

What is not clearly an answer is invalid. No parser looks for a letter inside a sentence: the
article "A" is not the first choice.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inferometer.quality.scoring import Score

STATED = r"(?:the\s+)?(?:(?:correct|right|best)\s+)?(?:answer|choice|option)(?:\s+is\s*:?|\s*:)\s*"
ANOTHER = re.compile(r"(?:\bor\s+|\band\s+|[,/&]\s*)\(?([A-Z])\b|(?<!\w)([A-Z])\)")
BLOCK = re.compile(r"```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
PYTHON = {"", "python", "py", "python3"}


@dataclass(frozen=True)
class Parsed:
    """What an answer says: `value` is None unless the status is `ok`."""

    value: str | None
    status: Literal["ok", "empty", "invalid"]
    reason: str | None = None


def parse_letter(answer: str, labels: Sequence[str]) -> Parsed:
    """The label of a choice, from the first line of an answer.

    Accepted: the label alone (`B`, `(B)`, `B.`, `**B**`), the label with `)` or `.` before the text
    of the choice (`B) iron`), and a statement (`Answer: B`, `The correct answer is (B).`). A single
    small letter counts when it stands alone. Two different labels, or one outside `labels`, are
    invalid; so is `A: iron`, in which A may stand for "answer".
    """
    if not answer.strip():
        return Parsed(None, "empty", "the answer is empty")
    line = answer.strip().splitlines()[0].replace("*", "").replace("`", "").strip()
    one = r"\(?([A-Za-z]|\d{1,2})\)?"
    for pattern in (
        rf"{one}[.:]?",
        r"\(([A-Z]|\d{1,2})\)[.:]?\s+\S.*",
        r"([A-Z]|\d{1,2})[).]\s+\S.*",
        rf"(?i:{STATED}){one}(?:[.:,)]|\s*$)(?:\s.*)?",
    ):
        if found := re.fullmatch(pattern, line):
            return _among(found[1], line[found.end(1) :], labels)
    return Parsed(None, "invalid", f"no letter stands for an answer in {line[:60]!r}")


def _among(letter: str, rest: str, labels: Sequence[str]) -> Parsed:
    known = {label.upper(): label for label in labels}
    if letter.upper() not in known:
        return Parsed(None, "invalid", f"{letter} is none of {', '.join(labels)}")
    others = {rest.strip(" ().:"), *(a or b for a, b in ANOTHER.findall(rest))}
    if (others & set(known)) - {letter.upper()}:
        return Parsed(None, "invalid", "more than one letter is given")
    return Parsed(known[letter.upper()], "ok")


def parse_label(answer: str, labels: Sequence[str]) -> Parsed:
    """One of the labels, which must be the whole first line, case and punctuation aside.

    `Answer:` and `Label:` may stand before it.
    """
    if not answer.strip():
        return Parsed(None, "empty", "the answer is empty")
    line = answer.strip().splitlines()[0]
    said = re.sub(r"^\W*(?:answer|label)\s*:", "", line, flags=re.IGNORECASE)
    known = {_bare(label): label for label in labels}
    if _bare(said) in known:
        return Parsed(known[_bare(said)], "ok")
    return Parsed(None, "invalid", f"{line[:60]!r} is none of {', '.join(labels)}")


def _bare(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]|_", " ", text.lower()).split())


def accuracy(parsed: Parsed, answer: str) -> Score:
    """1 for the right label, else 0; an answer that says none is wrong, and says why."""
    return Score("accuracy", float(parsed.value == answer), parsed.status, parsed.reason)


def parse_function(answer: str, signature: str, entry_point: str) -> Parsed:
    """The Python source of a function, from an answer with or without a block of code.

    Of several blocks the first that defines the function counts. An answer without a definition is
    taken as the body that continues `signature`. Invalid: what does not parse, or does not define
    `entry_point` at the top level.
    """
    if not answer.strip():
        return Parsed(None, "empty", "the answer is empty")
    blocks = [code for language, code in BLOCK.findall(answer) if language.lower() in PYTHON]
    candidates = blocks or [answer]
    reason = ""
    for code in [*candidates, *(signature + _indented(code) for code in candidates)]:
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = reason or f"not Python: {error}"
            continue
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if entry_point in names:
            return Parsed(code, "ok")
        reason = f"defines no function {entry_point}"
    return Parsed(None, "invalid", reason)


def _indented(code: str) -> str:
    lines = code.strip("\n").split("\n")
    if not lines[0].startswith((" ", "\t")):
        lines = [f"    {line}" if line.strip() else line for line in lines]
    return "\n".join(lines) + "\n"
