"""All claims as one HTML page that filters itself: no server, no external resource."""

from html import escape

from inferometer.claims import explain, listing
from inferometer.claims.figure import COLOURS
from inferometer.claims.verdicts import Judged

COLUMNS = ("claim", "source", "kind", "experiment", "verdict", "factor", "statement and arithmetic")
STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5em; color: #222; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #ddd; padding: .35em .5em; }
th, td { text-align: left; vertical-align: top; }
th { position: sticky; top: 0; background: #fff; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { white-space: pre-wrap; background: #f6f6f6; padding: .5em; font-size: 12px; }
.tag { padding: .1em .5em; border-radius: .6em; white-space: nowrap; }
form { display: flex; flex-wrap: wrap; gap: .8em; margin: 1em 0; }
"""
SCRIPT = """
const rows = [...document.querySelectorAll('tbody tr')];
const controls = [...document.querySelectorAll('form [name]')];
const shown = document.getElementById('shown');
function apply() {
  let count = 0;
  for (const row of rows) {
    const hit = controls.every(c => !c.value || (c.name === 'text'
      ? row.textContent.toLowerCase().includes(c.value.toLowerCase())
      : row.dataset[c.name] === c.value));
    row.hidden = !hit;
    count += hit;
  }
  shown.textContent = count + ' of ' + rows.length + ' claims';
}
controls.forEach(c => c.addEventListener('input', apply));
apply();
"""


def page(items: list[Judged]) -> str:
    """The page; strongest contradictions first."""
    ordered = listing.strongest_first(items)
    rows = "\n".join(_row(item) for item in ordered)
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>Published claims and their verdicts</title>\n<style>{STYLE}</style>\n</head>\n"
        "<body>\n<h1>Published claims and their verdicts</h1>\n"
        f'{_controls(ordered)}\n<p id="shown">{len(ordered)} claims</p>\n'
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _controls(items: list[Judged]) -> str:
    choices: dict[str, list[str]] = {
        "source": sorted({item.source.id for item in items}),
        "kind": sorted({item.claim.kind for item in items}),
        "experiment": sorted({item.claim.experiment for item in items}),
        "verdict": listing.verdicts_present(items),
    }
    parts = []
    for name, values in choices.items():
        options = "".join(f"<option>{escape(value)}</option>" for value in values)
        parts.append(
            f'<label>{name} <select name="{name}"><option value="">all</option>{options}'
            "</select></label>"
        )
    parts.append('<label>text <input name="text" type="search"></label>')
    return f"<form>{''.join(parts)}</form>"


def _row(item: Judged) -> str:
    claim = item.claim
    data = {
        "source": item.source.id,
        "kind": claim.kind,
        "experiment": claim.experiment,
        "verdict": item.verdict,
    }
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    factor = f"{item.factor:.3g}" if item.factor else ""
    lines = explain.arithmetic(item)
    lines += [f"run: {run.verdict}: {run.reason}" for run in item.runs]
    lines += [claim.note] if claim.note else []
    body = escape("\n".join(lines))
    return (
        f'<tr{attributes}><td id="{escape(claim.id)}"><code>{escape(claim.id)}</code><br>'
        f"{escape(claim.locator)}</td><td>{escape(item.source.id)}</td><td>{claim.kind}</td>"
        f"<td>{escape(claim.experiment)}</td><td>{_tag(item.verdict)}</td>"
        f'<td class="number">{factor}</td><td>{escape(claim.statement)}'
        f"<details><summary>{escape(item.reason)}</summary><pre>{body}</pre></details></td></tr>"
    )


def _tag(verdict: str) -> str:
    dark = verdict in ("impossible", "inconsistent", "consistent", "reproduced", "not judged")
    text = "#fff" if dark else "#000"
    style = f"background:{COLOURS[verdict]};color:{text}"
    return f'<span class="tag" style="{style}">{escape(verdict)}</span>'
