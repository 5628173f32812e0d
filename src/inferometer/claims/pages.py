"""The claims report as Markdown: an overview, and one page for each source."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from inferometer.claims import explain, expression, listing
from inferometer.claims.schema import NEEDS, Source
from inferometer.claims.verdicts import MEASURED, Judged, Verdicts

STRONGEST = 25
MEANINGS = {
    "impossible": "breaks a bound of physics, capacity or logic; the factor says by how much",
    "inconsistent": "disagrees with itself, with another section, or with a published fact",
    "contradicted": "a run on a machine that can decide it lies outside the published range",
    "inconclusive": "a run exists, but its interval does not decide",
    "plausible": "no bound is broken; only a run could say more",
    "consistent": "follows from its own numbers or from published facts",
    "reproduced": "a run lies inside the published range",
    "not testable here": "only a run could tell, and there is none; the reason is given",
    "not judged": "the entry itself is at fault; the message says what to mend",
}


def overview(verdicts: Verdicts, machines: list[str]) -> str:
    """`reports/claims.md`."""
    items = verdicts.judged
    runs_from = ", ".join(machines) if machines else "none"
    parts = [
        "# Which published claims hold?",
        f"{len(items)} claims from {len(verdicts.sources)} documents, each with a verdict computed "
        f"from its own arithmetic or from a finding. Machines with results: {runs_from}. "
        "The whole list, filterable: [claims/table.html](claims/table.html).",
        "![Claims by source, kind and verdict](claims/verdicts.svg)",
        "## Verdicts",
        _meanings(items),
        "## By source",
        _count_table(items, "source", {key: _page_link(s) for key, s in verdicts.sources.items()}),
        "## By kind",
        _count_table(items, "kind", {}),
        "## The strongest contradictions",
        "Claims that break a bound, and then those that disagree with themselves or with "
        f"published facts by the largest factors (the first {STRONGEST}). A dagger marks verdicts "
        "that hang on a value not verified here.",
        "### Impossible",
        _strongest(items, "impossible", None),
        "### Inconsistent",
        _strongest(items, "inconsistent", STRONGEST),
        "## What machines measured",
        _measured(items),
        "## Verdicts that hang on unverified values",
        _weak(verdicts),
        "## What could not be judged, and what it would need",
        _open(items),
        _problems(verdicts.problems),
        "## How to reproduce",
        "```\ninferometer claims report\ninferometer claims show s000-ddr5-51\n```\n"
        "The registry is [claims/](../claims/), its keys are explained in "
        "[docs/claims.md](../docs/claims.md), constants with their sources in "
        "[claims/constants.md](claims/constants.md).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def source_page(source: Source, verdicts: Verdicts, folder: Path) -> str:
    """`reports/claims/<source>.md`, strongest contradictions first."""
    items = [item for item in verdicts.judged if item.source.id == source.id]
    parts = [
        f"# Claims of {source.id}: {source.title}",
        f"{source.document.capitalize()}, {source.dated}. {source.about} "
        + (f"Machine: {source.machine}. " if source.machine else "")
        + f"{len(items)} claims; back to [the overview](../claims.md).",
        _count_table(items, "kind", {}),
    ]
    parts += [_claim(item, verdicts, folder) for item in listing.strongest_first(items)]
    return "\n\n".join(parts) + "\n"


def constants_page(verdicts: Verdicts) -> str:
    """`reports/claims/constants.md`: every constant with value, status, source and users."""
    users = Counter(name for item in verdicts.judged if item.check for name in item.check.constants)
    rows = [
        [
            f"`{name}`",
            f"{expression.shown(constant.value)} {constant.unit}",
            constant.what,
            constant.status,
            f"{constant.source} (seen {constant.seen.isoformat()})",
            str(users[name]),
        ]
        for name, constant in sorted(verdicts.constants.sources.items())
    ]
    table = _table(["name", "value", "what", "status", "source", "claims"], rows)
    return (
        "# Constants behind the verdicts\n\nA verdict that hangs on an `unsourced` or `archive` "
        f"value says so. Back to [the overview](../claims.md).\n\n{table}\n"
    )


def _claim(item: Judged, verdicts: Verdicts, folder: Path) -> str:
    claim = item.claim
    factor = f", off by a factor {item.factor:.3g}" if item.factor else ""
    lines = [
        f'## <a id="{claim.id}"></a>`{claim.id}`: {item.verdict}{factor}',
        f"**{_safe(claim.statement)}** ({_safe(claim.locator)}; {claim.kind})",
        f"{_safe(item.reason)}.",
    ]
    shown = [explain.published(quantity) for quantity in claim.quantities]
    shown += explain.arithmetic(item)
    if shown:
        lines.append("```\n" + "\n".join(shown) + "\n```")
    lines.append(_evidence(item, verdicts, folder))
    if claim.note:
        lines.append(f"Comment: {_safe(claim.note)}")
    return "\n\n".join(lines)


def _evidence(item: Judged, verdicts: Verdicts, folder: Path) -> str:
    links = [f"[registry](../../claims/{item.source.id}.yaml)"]
    for name in item.check.constants if item.check else ():
        status = verdicts.constants.sources[name].status
        links.append(f"[`{name}`](constants.md) ({status})")
    for run in item.runs:
        place = f" ([findings]({_relative(run.file, folder)}))" if run.file else ""
        links.append(f"run: {run.verdict}: {_safe(run.reason)}{place}")
    links += [_safe(text) for text in item.claim.evidence]
    return "Evidence: " + "; ".join(links) + "."


def _relative(file: str, folder: Path) -> str:
    return PurePosixPath(os.path.relpath(file, folder)).as_posix()


def _page_link(source: Source) -> str:
    return f"[{source.id}](claims/{source.id}.md) {source.title}"


def _meanings(items: Iterable[Judged]) -> str:
    total: Counter[str] = Counter(item.verdict for item in items)
    rows = [
        [verdict, str(total[verdict]), MEANINGS[verdict]]
        for verdict in MEANINGS
        if verdict in total or verdict in MEASURED
    ]
    return _table(["verdict", "claims", "means"], rows)


def _count_table(items: list[Judged], by: str, names: dict[str, str]) -> str:
    verdicts = listing.verdicts_present(items)
    rows = []
    for key, row in listing.counts(items, by).items():
        cells = [str(row[verdict]) if row[verdict] else "" for verdict in verdicts]
        rows.append([names.get(key, key), *cells, str(sum(row.values()))])
    return _table([by, *verdicts, "all"], rows)


def _strongest(items: list[Judged], verdict: str, most: int | None) -> str:
    failing = [item for item in items if item.verdict == verdict]
    rows = []
    for item in listing.strongest_first(failing)[:most]:
        deciding = item.check.deciding if item.check else ()
        mark = " †" if item.check and item.check.weak else ""
        against = ", ".join(dict.fromkeys(test.against for test in deciding))
        factor = f"{item.factor:.3g}{mark}" if item.factor else mark.strip()
        rows.append([_link(item), _safe(item.claim.statement), factor, _safe(against)])
    return _table(["claim", "statement", "factor", "against"], rows) if rows else "None."


def _measured(items: list[Judged]) -> str:
    rows = [
        [_link(item), run.machine or "", run.verdict, _safe(run.reason)]
        for item in items
        for run in item.runs
        if run.finding
    ]
    if rows:
        return _table(["claim", "machine", "verdict", "what was measured"], rows)
    bound = sum(item.claim.binding is not None for item in items)
    return f"No run yet. {bound} claims are bound to findings and will be judged by the first one."


def _weak(verdicts: Verdicts) -> str:
    rows = []
    for item in verdicts.judged:
        for name in item.check.weak if item.check else ():
            constant = verdicts.constants.sources[name]
            value = f"{expression.shown(constant.value)} {constant.unit}"
            rows.append([_link(item), item.verdict, f"`{name}`", value, constant.status])
    return _table(["claim", "verdict", "value", "is", "status"], rows) if rows else "None."


def _open(items: list[Judged]) -> str:
    groups: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for item in items:
        if item.verdict in ("not testable here", "not judged", "plausible", "inconclusive"):
            needed = "; ".join(NEEDS[need] for need in item.claim.needs)
            groups[item.claim.experiment, needed].append(item)
    rows = [
        [experiment, needed, str(len(found)), " ".join(_link(item) for item in found)]
        for (experiment, needed), found in sorted(groups.items())
    ]
    return _table(["experiment", "would need", "claims", "which"], rows) if rows else "Nothing."


def _problems(problems: list[str]) -> str:
    if not problems:
        return ""
    return "## Entries at fault\n\n" + "\n".join(f"- {_safe(text)}" for text in problems)


def _link(item: Judged) -> str:
    return f"[{item.claim.id}](claims/{item.source.id}.md#{item.claim.id})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _safe(text: str) -> str:
    """Text that Markdown shows as written: no accidental emphasis, tags or lost newlines."""
    flat = " ".join(text.split())
    for mark in ("<", "*", "_"):
        flat = flat.replace(mark, f"\\{mark}" if mark != "<" else "&lt;")
    return flat
