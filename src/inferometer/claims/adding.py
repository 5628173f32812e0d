"""Begin a registry file for a reader's own document: a template that is valid as it stands."""

from pathlib import Path

from inferometer.claims.schema import Source
from inferometer.errors import UserError
from inferometer.manifest import write_atomically

TEMPLATE = """\
# Claims of one document. Replace the example; docs/claims.md explains every key.
# Verdicts are computed: run `inferometer claims --source {id}` after each entry.
schema_version: 1
source:
  id: {id}
  title: {title}
  dated: {dated}
  document: benchmark report
  about: What the document is about, in a sentence.
  machine: ''
claims:
- id: {id}-decode-ceiling
  locator: Section 1
  statement: A 4 GB model decodes at 60 tok/s on 200 GB/s of memory.
  kind: physics-bound
  quantities:
  - {{name: rate, value: 60, unit: tok/s}}
  - {{name: weights, value: 4, unit: GB}}
  - {{name: bandwidth, value: 200, unit: GB/s}}
  needs: [roofline, cpu-run]
  experiment: none
  check:
    steps:
    - {{name: ceiling, expr: 'decode_ceiling(bandwidth, weights)', unit: tok/s}}
    tests:
    - {{expr: 'rate <= ceiling', role: bound, against: the bandwidth of the same section}}
"""


def write_template(folder: Path, source: str, title: str, dated: str) -> Path:
    """Write `<folder>/<source>.yaml`; refuses to touch a file that exists."""
    path = folder / f"{source}.yaml"
    try:
        Source(id=source, title=title, dated=dated, document="-", about="-")
    except ValueError as error:
        raise UserError(
            f"{path}: source {source!r}, title {title!r}: use a lower-case id of letters, digits "
            "and dashes, and a title"
        ) from error
    if path.exists():
        raise UserError(f"{path}: exists; edit it, or choose another id")
    text = TEMPLATE.format(id=source, title=_quoted(title), dated=_quoted(dated))
    write_atomically(path, text)
    return path


def _quoted(text: str) -> str:
    """The text as a YAML single-quoted scalar, whatever it contains."""
    return "'" + " ".join(text.split()).replace("'", "''") + "'"
