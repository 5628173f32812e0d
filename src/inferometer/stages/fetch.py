"""`inferometer fetch ARTIFACT`: bring an artifact into the cache, verified; `--list` shows all."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from inferometer.artifacts import fetch
from inferometer.artifacts.catalog import Catalog
from inferometer.errors import UserError
from inferometer.manifest import write_atomically
from inferometer.stages import repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "artifact", nargs="?", help="name in the catalog or under artifacts: in the config"
    )
    parser.add_argument("--list", action="store_true", help="show all artifacts, fetch none")
    parser.add_argument("--json", action="store_true", help="say it as JSON")
    parser.add_argument("--marker", type=Path, help="write what was fetched to this JSON file")
    repository.add_arguments(parser)


def run_command(args: argparse.Namespace) -> int:
    """Fetch one artifact and say where it is, or list what there is."""
    if args.list == (args.artifact is not None):
        raise UserError("fetch: name one artifact, or give --list to see them all")
    catalog = repository.chosen(args).catalog
    if args.list:
        _show(rows(catalog, args.root), as_json=args.json)
        return 0
    found = fetch.fetch(args.artifact, catalog, args.root)
    entry = catalog.artifact(found.name)
    content = {"name": found.name, "sha256": found.sha256, "bytes": found.bytes}
    if args.json:
        print(json.dumps({**content, "path": str(found.path)}))
    else:
        size = f"{found.bytes / 1e6:.1f} MB"
        print(f"artifact {found.name}: {entry.title}, {size}, licence {entry.licence}")
        print(f"artifact {found.name}: {found.path}, sha256 {found.sha256} verified")
    if args.marker:
        write_atomically(args.marker, json.dumps(content) + "\n")
    return 0


def rows(catalog: Catalog, root: Path) -> list[dict[str, Any]]:
    """What `--list` says of each artifact; `bytes` is an estimate for those not yet made."""
    found = []
    for name, entry in catalog.artifacts.items():
        path = _place(name, catalog, root)
        found.append(
            {
                "name": name,
                "title": entry.title,
                "source": entry.source.kind,
                "quantization": entry.quantization,
                "licence": entry.licence,
                "bytes": catalog.size_bytes(name),
                "performance_only": entry.performance_only,
                "here": path is not None and path.exists(),
            }
        )
    return found


def _place(name: str, catalog: Catalog, root: Path) -> Path | None:
    """Where an artifact would lie; `None` for one that this repository has no means to make."""
    try:
        return fetch.cached_path(name, catalog, root)
    except UserError:
        return None


def _show(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("artifact", "what", "weights", "licence"):
        table.add_column(heading, overflow="fold")
    table.add_column("MB", justify="right")
    table.add_column("here")
    for row in found:
        size = f"{row['bytes'] / 1e6:,.0f}" if row["bytes"] else "?"
        cells = (row["name"], row["title"], row["quantization"], row["licence"])
        table.add_row(*cells, size, "yes" if row["here"] else "no")
    Console(width=None if Console().is_terminal else 160).print(table)
