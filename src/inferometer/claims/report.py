"""Write the claims report: overview, one page a source, constants, table and figure."""

from pathlib import Path

from inferometer.claims import figure, pages, table
from inferometer.claims.verdicts import Verdicts
from inferometer.manifest import write_atomically


def write(verdicts: Verdicts, machines: list[str], reports: Path) -> list[Path]:
    """Write `claims.md` and `claims/*` under the folder; equal input gives equal bytes."""
    folder = reports / "claims"
    texts = {
        reports / "claims.md": pages.overview(verdicts, machines),
        folder / "constants.md": pages.constants_page(verdicts),
        folder / "table.html": table.page(verdicts.judged),
    }
    for source in verdicts.sources.values():
        texts[folder / f"{source.id}.md"] = pages.source_page(source, verdicts, folder)
    for path, text in texts.items():
        write_atomically(path, text)
    return [*texts, *figure.save(verdicts.judged, folder)]
