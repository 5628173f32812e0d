"""Write the claims report: overview, one page a source, constants, table and figure."""

import json
from pathlib import Path

from inferometer import digests
from inferometer.claims import figure, pages, table
from inferometer.claims.measured import Results
from inferometer.claims.verdicts import Verdicts
from inferometer.errors import UserError
from inferometer.manifest import write_atomically

STAMP = "<!-- inferometer-claims "


def texts(verdicts: Verdicts, results: Results, reports: Path) -> dict[Path, str]:
    """Every page of the report, path -> content; nothing is written."""
    folder = reports / "claims"
    content = {
        reports / "claims.md": _stamp(results) + pages.overview(verdicts, results.machines),
        folder / "constants.md": pages.constants_page(verdicts),
        folder / "table.html": table.page(verdicts.judged),
    }
    for source in verdicts.sources.values():
        content[folder / f"{source.id}.md"] = pages.source_page(source, verdicts, folder)
    return content


def _stamp(results: Results) -> str:
    """The findings that the verdicts rest on, for the audit: file -> sha256."""
    used = {path.as_posix(): digests.of_file(path) for path in results.files}
    return f"{STAMP}{json.dumps(used, sort_keys=True)} -->\n\n"


def stamped(page: str) -> dict[str, str]:
    """The findings that a claims report says it rests on; `UserError` when it does not say."""
    first = page.partition("\n")[0]
    try:
        if not first.startswith(STAMP):
            raise ValueError("no stamp in the first line")
        content = json.loads(first.removeprefix(STAMP).removesuffix(" -->"))
        return {str(path): str(digest) for path, digest in content.items()}
    except (ValueError, AttributeError) as error:
        raise UserError(f"reports/claims.md: {error}; run `inferometer claims report`") from error


def write(verdicts: Verdicts, results: Results, reports: Path) -> list[Path]:
    """Write `claims.md` and `claims/*` under the folder; equal input gives equal bytes."""
    content = texts(verdicts, results, reports)
    for path, text in content.items():
        write_atomically(path, text)
    return [*content, *figure.save(verdicts.judged, reports / "claims")]
