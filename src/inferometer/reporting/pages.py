"""The texts of a report and its evidence page: pure functions of findings and templates."""

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2

from inferometer.errors import UserError
from inferometer.findings import Decision, FindingsFile, Verdict
from inferometer.reporting import context as contexts
from inferometer.reporting import decisions, evidence, filters, lint, numbers, stamps
from inferometer.reporting.context import ReportContext
from inferometer.reporting.links import DESIGN, Links

TEMPLATES = Path(__file__).parent / "templates"
SMALLEST = "smallest_difference"
"""The finding of the A/A check that other reports quote."""

TEMPLATE_FILE = "report.md.j2"
SHOWN = 20
"""Failed cells, noisy sessions and changes listed in a report; the evidence page has all."""

_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
_BLANKS = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class HypothesisRow:
    """A line of the table of hypotheses; `declared` is `None` for a published claim."""

    name: str
    statement: str
    declared: Any
    verdict: Verdict | None
    p: str


@dataclass(frozen=True)
class Source:
    """What both pages are made from.

    `results` is the path of the results folder as a link from the reports folder.
    """

    file: FindingsFile
    findings_sha256: str
    results: str
    templates: Path
    """The experiment's folder, with its `report.md.j2`."""
    calibration: FindingsFile | None = None
    """The A/A check of the same machine, where it has one: what it can tell apart."""

    @cached_property
    def context(self) -> ReportContext:
        """The typed context of the findings; `UserError` names what is wrong with it."""
        return contexts.of(self.file)

    @property
    def exploratory(self) -> bool:
        """Quick depth: no verdicts, no decisions taken."""
        return self.file.depth == "quick"

    @property
    def decisions(self) -> list[Decision]:
        """The decisions as the report shows them: all open at quick depth."""
        taken = self.file.decisions
        return [decisions.undecided(decision) for decision in taken] if self.exploratory else taken


def report(source: Source) -> str:
    """The report. `UserError` names a number that is no finding, with its line, and others."""
    name = source.file.experiment
    links = Links(source.file, source.context.design, f"{name}.evidence.md")
    text = _rendered(source, links, TEMPLATE_FILE, "report")
    if bare := lint.unlinked(text):
        listed = "\n".join(f"  {number}" for number in bare)
        raise UserError(
            f"{source.templates / TEMPLATE_FILE}: {len(bare)} numbers of reports/{name}.md would "
            f"come from nowhere; write them as findings (docs/reports.md):\n{listed}"
        )
    return text


def evidence_page(source: Source) -> str:
    """The evidence page; `UserError` names a finding that may not be printed."""
    links = Links(source.file, source.context.design, "")
    for finding in source.file.findings:
        links.finding(finding.id)
    return _rendered(source, links, "evidence.md.j2", "evidence")


def anchors(page: str) -> set[str]:
    """The anchors that a page defines."""
    return set(_ANCHOR.findall(page))


def missing_anchors(report_text: str, evidence: Mapping[str, str]) -> list[tuple[int, str]]:
    """(line, page#anchor) of every link of a report to an entry that an evidence page lacks.

    `evidence` maps the file names of evidence pages to their texts.
    """
    known = {name: anchors(text) for name, text in evidence.items()}
    found = []
    for number, line in enumerate(report_text.split("\n"), start=1):
        for link in lint.links(line):
            page, _, anchor = link.target.partition("#")
            if page.endswith(".evidence.md") and anchor and anchor not in known.get(page, ()):
                found.append((number, f"{page}#{anchor}"))
    return found


def hypotheses(source: Source) -> list[HypothesisRow]:
    """Declared hypotheses in the order of the design, then verdicts on published claims.

    Raises `UserError` when a declared hypothesis has no verdict where verdicts are printed.
    """
    verdicts = {verdict.hypothesis: verdict for verdict in source.file.verdicts}
    rows = []
    for name, declared in source.context.design.hypotheses.items():
        verdict = verdicts.pop(name, None)
        if verdict is None and not source.exploratory:
            raise UserError(f"{source.file.experiment}: hypothesis {name!r} has no verdict")
        rows.append(HypothesisRow(name, declared.statement, declared, verdict, _p(verdict)))
    for name, verdict in verdicts.items():
        rows.append(HypothesisRow(name, verdict.statement, None, verdict, _p(verdict)))
    return rows


def _p(verdict: Verdict | None) -> str:
    if verdict is None or verdict.p_adjusted is None:
        return "–"
    return numbers.significant(verdict.p_adjusted)


def _rendered(source: Source, links: Links, template: str, page: Any) -> str:
    stamp = stamps.of(source.file, page, source.results, source.findings_sha256)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([source.templates, TEMPLATES]),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters.ALL)
    environment.globals.update(_vocabulary(source, links))
    try:
        text = environment.get_template(template).render(stamp=stamp, **_facts(source, links))
    except (jinja2.TemplateError, UserError) as error:
        raise UserError(f"{_place(error, source.templates / template)}{error}") from error
    lines = [line.rstrip() for line in text.strip().split("\n")]
    return stamp.comment() + "\n" + _BLANKS.sub("\n\n", "\n".join(lines)) + "\n"


def _place(error: Exception, template: Path) -> str:
    """`file:line: ` of the innermost template line that an error passed through."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.filename or template}:{error.lineno}: "
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith(".j2")]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else f"{template}: "


def _vocabulary(source: Source, links: Links) -> dict[str, Any]:
    """What templates may call; docs/reports.md describes it."""
    return {
        "has": links.has,
        "finding": links.finding,
        "value": links.value,
        "interval": links.interval,
        "with_interval": links.with_interval,
        "percent": links.percent,
        "cell": links.cell,
        "n": links.n,
        "design": links.design,
        "text": links.text,
        "to": links.to,
        "verdict": lambda name: _verdict(source, name),
        "says": lambda name, **texts: _says(source, name, texts),
        "label": lambda name: links.to(DESIGN, source.context.design.suts[name].label or name),
        "figure": lambda name, caption: _figure(source, name, caption),
        "advice": decisions.advice,
        "as_text": decisions.as_text,
        "as_mermaid": decisions.as_mermaid,
        "findings_of": decisions.findings_of,
        "exact": evidence.exact,
        "exact_interval": evidence.exact_interval,
        "sessions_of": lambda finding: evidence.sessions_of(finding, source.file.sessions),
    }


def _facts(source: Source, links: Links) -> dict[str, Any]:
    """The plain values that templates see."""
    file, context = source.file, source.context
    first, last = context.measured
    rows = hypotheses(source)
    used = {session.sut for session in file.sessions}
    return {
        "experiment": file.experiment,
        "file": file,
        "context": context,
        "declared": context.design,
        "plan": context.design.plan(file.depth),  # type: ignore[arg-type]
        "measured_suts": [name for name in context.design.suts if name in used],
        "exploratory": source.exploratory,
        "dates": f"`{first}`" if first == last else f"`{first}` to `{last}`",
        "hypotheses": rows,
        "decisions": source.decisions,
        "other_designs": sorted(
            {s.design_digest[:12] for s in file.sessions if s.design_digest != file.design_digest}
        ),
        "sessions_elsewhere": sum(s.design_digest != file.design_digest for s in file.sessions),
        "set_aside": {
            kind: sum(aside.kind == kind for aside in context.set_aside)
            for kind in ("aborted", "noisy", "superseded")
        },
        "results": source.results,
        "evidence_page": f"{file.experiment}.evidence.md",
        "depth_option": "" if file.depth == "standard" else f" depth={file.depth}",
        "shown": SHOWN,
        "smallest_difference": _smallest_difference(source),
    }


def _smallest_difference(source: Source) -> str | None:
    """What this machine can tell apart, linked to the evidence of its A/A check."""
    file = source.calibration
    if file is None or SMALLEST not in file or file[SMALLEST].value is None:
        return None
    page = f"{file.experiment}.evidence.md"
    return Links(file, contexts.of(file).design, page).percent(SMALLEST)


def _verdict(source: Source, name: str) -> Verdict:
    if source.exploratory:
        raise UserError(f"verdict({name!r}): quick depth prints no verdicts; use says(...)")
    for verdict in source.file.verdicts:
        if verdict.hypothesis == name:
            return verdict
    raise UserError(f"verdict({name!r}): no such hypothesis in {source.file.experiment}")


def _says(source: Source, name: str, texts: dict[str, str]) -> str:
    """The text for the outcome of a hypothesis; at quick depth that for `exploratory`."""
    wanted = {"supported", "refuted", "inconclusive", "not_testable"}
    if missing := sorted(wanted - texts.keys()):
        raise UserError(f"says({name!r}): no text for {', '.join(missing)}")
    if unknown := sorted(texts.keys() - wanted - {"exploratory"}):
        raise UserError(f"says({name!r}): {', '.join(unknown)} is no outcome")
    if source.exploratory:
        return texts.get("exploratory", "")
    outcome = _verdict(source, name).outcome
    return texts["not_testable" if outcome == "not testable here" else outcome]


def _figure(source: Source, name: str, caption: str) -> str:
    file = f"{name}.svg"
    if file not in source.file.figures:
        known = ", ".join(sorted(key.removesuffix(".svg") for key in source.file.figures))
        raise UserError(f"figure({name!r}): the analysis drew no such figure; it drew: {known}")
    alternative = filters.plain(caption)
    return f"![{alternative}]({source.results}/figures/{file})\n\n*{caption}*"
