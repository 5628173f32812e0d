"""Find numbers in a report that say nothing about where they come from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

QUOTED_SECTIONS = ("Question", "Design and boundary", "How to reproduce")
"""Second-level sections that quote the design or give commands, and report no result."""

_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
_FENCE = re.compile(r"^\s*(```+|~~~+)")
_TABLE_RULE = re.compile(r"^\s*\|?(\s*:?-+:?\s*\|)+\s*:?-*:?\s*$")
_CODE = re.compile(r"(`+)(?:.+?)\1")
_TAG = re.compile(r"</?[A-Za-z][^>]*>")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IDENTIFIER = re.compile(r"(?<![\w.])[A-Za-z][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*")
_NUMBER = re.compile(r"[-−+]?\d[\d.,]*(?:[eE][-+]?\d+)?")
_UNESCAPED_BAR = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Link:
    """A Markdown link or image within a line, from `start` up to `end`."""

    start: int
    end: int
    label: str
    target: str
    image: bool


@dataclass(frozen=True)
class Unlinked:
    """A number outside any link: the line (from 1), the number, and the line's text."""

    line: int
    number: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.number} is not linked to a finding: {self.text.strip()}"


def unlinked(markdown: str) -> list[Unlinked]:
    """Every number of the result sections that is outside a link to an evidence page.

    Not numbers in this sense: what stands in code, headings, header rows and first columns of
    tables, images, HTML tags and comments, link targets, and digits inside a name that begins
    with a letter (TR129, p95, SmolLM2-135M).
    """
    found = []
    for number, line in _prose(markdown):
        rest = _without_evidence(_TAG.sub(" ", _CODE.sub(" ", line)))
        rest = _IDENTIFIER.sub(" ", rest)
        found += [Unlinked(number, match.group(), line) for match in _NUMBER.finditer(rest)]
    return found


def links(line: str) -> Iterator[Link]:
    """Every `[label](target)` and `![label](target)` of a line; labels may hold brackets."""
    position = 0
    while position < len(line):
        link = _link_at(line, position)
        if link:
            yield link
        position = link.end if link else position + 1


def _without_evidence(line: str) -> str:
    """The line without images and links to evidence; of other links the label stays."""
    kept, position = [], 0
    for link in links(line):
        evidence = link.image or ".evidence.md#" in link.target
        kept += [line[position : link.start], " " if evidence else link.label]
        position = link.end
    return "".join([*kept, line[position:]])


def _link_at(line: str, start: int) -> Link | None:
    image = line.startswith("![", start)
    opening = start + image
    if not line.startswith("[", opening):
        return None
    depth, position = 0, opening
    while position < len(line):
        if line[position] == "\\":
            position += 2
            continue
        depth += {"[": 1, "]": -1}.get(line[position], 0)
        if depth == 0:
            break
        position += 1
    closed = line.find(")", position)
    if not line.startswith("](", position) or closed < 0:
        return None
    label, target = line[opening + 1 : position], line[position + 2 : closed]
    return Link(start, closed + 1, label, target, image)


def _prose(markdown: str) -> Iterator[tuple[int, str]]:
    """Lines of the result sections as (number, text), tables without header and first column."""
    blanked = _COMMENT.sub(lambda match: "\n" * match.group().count("\n"), markdown)
    lines = blanked.split("\n")
    quoted = False
    for number, line in _unfenced(lines):
        if heading := _HEADING.match(line):
            if len(heading.group(1)) <= 2:
                quoted = heading.group(2) in QUOTED_SECTIONS
        elif quoted or _TABLE_RULE.match(line):
            continue
        elif not line.lstrip().startswith("|"):
            yield number, line
        elif not _TABLE_RULE.match("".join(lines[number : number + 1])):
            yield number, "|".join(_UNESCAPED_BAR.split(line.strip())[2:])


def _unfenced(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines outside fenced code, numbered from 1."""
    fence: str | None = None
    for number, line in enumerate(lines, start=1):
        mark = _FENCE.match(line)
        if mark and fence is None:
            fence = mark.group(1)
        elif mark and fence and mark.group(1).startswith(fence):
            fence = None
        elif fence is None:
            yield number, line
