"""`inferometer fetch ARTIFACT`: bring a model file into the cache, verified."""

import argparse
import json
from pathlib import Path

from inferometer.artifacts import fetch
from inferometer.manifest import write_atomically
from inferometer.stages import repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("artifact", help="name in the catalog or under artifacts: in the config")
    parser.add_argument("--marker", type=Path, help="write what was fetched to this JSON file")
    repository.add_arguments(parser)


def run_command(args: argparse.Namespace) -> int:
    """Fetch one artifact and say where it is."""
    catalog = repository.chosen(args).catalog
    found = fetch.fetch(args.artifact, catalog)
    entry = catalog.artifact(args.artifact)
    print(
        f"artifact {found.name}: {entry.title}, {found.bytes / 1e6:.1f} MB, licence {entry.licence}"
    )
    print(f"artifact {found.name}: {found.path}, sha256 verified")
    if args.marker:
        content = {"name": found.name, "sha256": found.sha256, "bytes": found.bytes}
        write_atomically(args.marker, json.dumps(content) + "\n")
    return 0
