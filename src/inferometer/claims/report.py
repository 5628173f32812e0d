"""Write the claims report: overview, one page a source, constants, table and figure."""

from pathlib import Path

from inferometer.claims import figure, pages, table
from inferometer.claims.verdicts import Verdicts
from inferometer.manifest import write_atomically


def texts(verdicts: Verdicts, machines: list[str], reports: Path) -> dict[Path, str]:
    """Every page of the report, path -> content; nothing is written."""
    folder = reports / "claims"
    content = {
        reports / "claims.md": pages.overview(verdicts, machines),
        folder / "constants.md": pages.constants_page(verdicts),
        folder / "table.html": table.page(verdicts.judged),
    }
    for source in verdicts.sources.values():
        content[folder / f"{source.id}.md"] = pages.source_page(source, verdicts, folder)
    return content


def write(verdicts: Verdicts, machines: list[str], reports: Path) -> list[Path]:
    """Write `claims.md` and `claims/*` under the folder; equal input gives equal bytes."""
    content = texts(verdicts, machines, reports)
    for path, text in content.items():
        write_atomically(path, text)
    return [*content, *figure.save(verdicts.judged, reports / "claims")]
