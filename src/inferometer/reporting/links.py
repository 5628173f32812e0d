"""The only way a number gets into a report: as a link to where it comes from.

`Links` writes findings as links to their entry on the evidence page, and numbers of the design
as links to its design section. `lint.unlinked` finds what went around it.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from inferometer.design import Design
from inferometer.errors import UserError
from inferometer.findings import Finding, FindingsFile
from inferometer.reporting import numbers

DESIGN, SESSIONS, SET_ASIDE, CELLS = "design", "sessions", "set-aside", "cells"
SECTIONS = (DESIGN, SESSIONS, SET_ASIDE, CELLS, "findings", "verdicts", "software")
"""Anchors of the evidence page's own sections; no finding may have one of these names."""

_REFERENCE = re.compile(r"\[\[([^\[\]|]+)(?:\|(\w+))?\]\]")
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


class Links:
    """Write findings and design quantities of one findings file as Markdown links.

    Parameters
    ----------
    file
        The findings.
    design
        The design they were analysed with.
    page
        File name of the evidence page as seen from the report; "" on the evidence page itself.

    Every method raises `UserError` naming the finding when it does not exist or cannot be
    printed: without n, or with neither an interval nor a reason for none.
    """

    def __init__(self, file: FindingsFile, design: Design, page: str) -> None:
        self._by_id = {finding.id: finding for finding in file.findings}
        self._experiment = file.experiment
        self._design = design
        self._page = page
        for name in SECTIONS:
            if name in self._by_id:
                raise UserError(f"finding {name}: the evidence page uses this name; choose another")

    def has(self, name: str) -> bool:
        """Whether there is such a finding, for templates that depend on what was measured."""
        return name in self._by_id

    def finding(self, name: str) -> Finding:
        """The finding itself, for decisions in templates; its numbers are printed with links."""
        if name not in self._by_id:
            near = difflib.get_close_matches(name, self._by_id, n=3, cutoff=0.5)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise UserError(f"{self._experiment}: no finding {name!r}{hint}")
        return printable(self._by_id[name])

    def value(self, name: str, unit: str | None = None, *, bare: bool = False) -> str:
        """`[0.312 s](…)`: the value in `unit`; `bare` leaves the unit out.

        The unit is the finding's own by default, with short times in milliseconds.
        """
        return self._written(name, unit, bare, numbers.value)

    def interval(self, name: str, unit: str | None = None, *, bare: bool = False) -> str:
        """`[[0.290, 0.335] s](…)`: the interval, or why there is none."""
        return self._written(name, unit, bare, numbers.interval)

    def with_interval(self, name: str, unit: str | None = None, *, bare: bool = False) -> str:
        """`[0.312 [0.290, 0.335] s](…)`; without an interval the value alone."""

        def both(finding: Finding, scale: float) -> str:
            text = numbers.value(finding, scale)
            if finding.value is None or finding.interval is None:
                return text
            return f"{text} {numbers.interval(finding, scale)}"

        return self._written(name, unit, bare, both)

    def percent(self, name: str, *, bare: bool = False) -> str:
        """A share as a percentage with its interval: `[31.2 [29.0, 33.5] %](…)`."""
        return self.with_interval(name, "%", bare=bare)

    def cell(self, name: str, unit: str | None = None) -> str:
        """Value and interval without the unit, for tables whose header has it."""
        return self.with_interval(name, unit, bare=True)

    def n(self, name: str) -> str:
        """`[7 blocks](…)`: how many units of replication, and of what."""
        finding = self.finding(name)
        return self.to(finding.id, f"{finding.n} {finding.n_of}")

    def design(self, quantity: str | float) -> str:
        """A declared number (`design("N = 8")`), linked to the design section.

        Raises `UserError` when a number in it is nowhere in the design: then it was measured.
        """
        text = str(quantity)
        for found in _NUMBER.findall(text):
            if not any(math.isclose(float(found), known) for known in self._declared()):
                raise UserError(
                    f"design({text!r}): {found} is not a number of the design; a measured number "
                    "is a finding"
                )
        return self.to(DESIGN, text)

    def to(self, anchor: str, label: str | float) -> str:
        """A link with any label to an anchor of the evidence page (a section, a verdict)."""
        return f"[{escaped(str(label))}]({self._page}#{anchor})"

    def text(self, source: str) -> str:
        """Expand `[[finding]]`, `[[finding|form]]` and `[[=number]]` in a text of the analysis."""
        forms: dict[str, Callable[[str], str]] = {
            "value": self.value,
            "interval": self.interval,
            "percent": self.percent,
            "bare": self.cell,
            "n": self.n,
        }

        def expand(match: re.Match[str]) -> str:
            name, form = match.group(1).strip(), match.group(2)
            if name.startswith("="):
                return self.design(name[1:].strip())
            if form is None:
                return self.with_interval(name)
            if form not in forms:
                raise UserError(f"[[{name}|{form}]]: unknown form; use one of {', '.join(forms)}")
            return forms[form](name)

        return _REFERENCE.sub(expand, source)

    def _written(
        self, name: str, unit: str | None, bare: bool, write: Callable[[Finding, float], str]
    ) -> str:
        finding = self.finding(name)
        if unit is None:  # a table's header names one unit for all its rows
            unit = finding.unit if bare else numbers.readable_unit(finding)
        scale = numbers.factor(finding, unit)
        label = write(finding, scale)
        if unit and not bare and finding.value is not None:
            label += f" {unit}"
        return self.to(finding.id, label)

    def _declared(self) -> set[float]:
        """Numbers that the design contains, also as percentages, and the usual confidence."""
        found = set(_numbers_in(self._design.model_dump(mode="json")))
        found |= {1 - alpha for alpha in found if 0 < alpha < 0.5}
        return found | {100 * number for number in found}


def printable(finding: Finding) -> Finding:
    """The finding, if a report may print it; otherwise `UserError` says what it lacks."""
    if finding.n < 1 and finding.value is not None:
        raise UserError(f"finding {finding.id}: has a value but no n; it cannot be printed")
    if finding.interval is None and not finding.no_interval:
        raise UserError(f"finding {finding.id}: neither an interval nor a reason for none")
    if finding.value is None and not finding.reason:
        raise UserError(f"finding {finding.id}: undefined without a reason")
    return finding


def escaped(label: str) -> str:
    """A label that neither ends its table cell nor its link early."""
    label = label.replace("\n", " ").replace("|", "\\|")
    if _balanced(label):
        return label
    return label.replace("[", "\\[").replace("]", "\\]")


def _balanced(label: str) -> bool:
    depth = 0
    for character in label:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def _numbers_in(data: Any) -> Iterator[float]:
    if isinstance(data, bool):
        return
    if isinstance(data, int | float):
        yield float(data)
    elif isinstance(data, str):
        yield from (float(found) for found in _NUMBER.findall(data))
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from _numbers_in(key)
            yield from _numbers_in(item)
    elif isinstance(data, list):
        for item in data:
            yield from _numbers_in(item)
