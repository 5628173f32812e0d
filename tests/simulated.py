"""Sealed sessions made by hand, and what is found in them: the shared part of simulated SUTs.

The records are each test's own, with a known truth; they stand in for real SUTs.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from checkouts import REPOSITORY

from inferometer import analysis, manifest, tidy
from inferometer.design import Cell
from inferometer.experiments import Experiment, find
from inferometer.findings import FindingsFile
from inferometer.reporting import pages

MACHINE = "testbox-2c-8g-abc123"


def placed(root: Path, folder: str) -> Experiment:
    """The experiment of this folder, alone in a repository at `root`."""
    shutil.copytree(REPOSITORY / folder, root / folder)
    (experiment,) = find(root).values()
    return experiment


def cell_line(index: int, cell: Cell, **changed: Any) -> dict:
    """What ends a cell's records."""
    return {
        **{"kind": "cell", "cell": index, "phase": cell.phase, "levels": cell.levels},
        **{"valid": True, "reasons": [], "started_s": 0.0, "ended_s": 1.0},
        **{"window_start_s": None, "window_end_s": None},
        **changed,
    }


def seal(
    experiment: Experiment,
    root: Path,
    depth: str,
    sut: str,
    block: int,
    lines: list[dict],
    *,
    read_back: dict | None,
    load: dict | None = None,
) -> None:
    """Write and seal one session; `read_back` of its server, `load` of the client's calibration.

    Without `read_back` there was no server, without `load` no client.
    """
    raw = experiment.raw(root, MACHINE, depth, sut, block)  # type: ignore[arg-type]
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text("".join(json.dumps({"schema_version": 1, **line}) + "\n" for line in lines))
    ends = [line for line in lines if line["kind"] == "cell"]
    cells = [(Cell(phase=x["phase"], levels=x["levels"]).label, x) for x in ends]
    server = {"stack": "x", "command": ["x"], "environment": None, "artifact": None}
    content = {
        **{"session": f"{sut}/{block:02d}", "sut": sut, "block": block, "depth": depth},
        "design_digest": experiment.design.digest,
        "cell_order": [label for label, _ in cells],
        "invalid_cells": {label: x["reasons"] for label, x in cells if not x["valid"]},
        "not_testable_cells": {
            label: x["not_testable"] for label, x in cells if "not_testable" in x
        },
        **{"timing": {"wall_s": 30.0, "cells_s": 20.0}},
        "noise": {
            **{"block": {"steal_fraction": 0.0, "foreign_cpu_fraction": 0.0}},
            **{"noisy": False, "complaints": []},
        },
        **{"started": "2026-11-21T10:00:00+00:00", "ended": "2026-11-21T10:01:00+00:00"},
        **{"machine": machine(), "code": {"commit": "0" * 40, "dirty": None}},
        "servers": [] if read_back is None else [{**server, "read_back": read_back}],
        **({"calibration": {"streams": load, "rate": load}} if load else {}),
    }
    manifest.seal(raw, content, target=manifest.path_for(raw))


def machine() -> dict:
    """The machine that the sessions say they ran on."""
    identity = {
        **{"cpu_model": "Test CPU", "cpu_family": "1/2/3", "cores": 2, "threads": 2, "isa": []},
        **{"caches": {}, "ram_gib": 8, "numa_nodes": 1, "gpus": []},
    }
    return {"id": MACHINE, "identity": identity, "software": {}, "software_digest": "0" * 64}


def analysed(experiment: Experiment, results: Path, depth: str = "standard") -> FindingsFile:
    """Findings of the sealed sessions under `results`."""
    tidy.write(tidy.observations(results), results / "observations.parquet")
    table = tidy.read(results / "observations.parquet")
    file, drawn = analysis.analyse(experiment, results, MACHINE, depth, table)  # type: ignore[arg-type]
    return file.model_copy(update={"figures": {f"{name}.svg": "not saved" for name in drawn}})


def report(folder: Path, file: FindingsFile) -> str:
    """The rendered report of the experiment in `folder`; every link of it has its anchor."""
    source = pages.Source(file, "0" * 64, "../results", folder)
    text = pages.report(source)
    evidence = {f"{file.experiment}.evidence.md": pages.evidence_page(source)}
    assert not pages.missing_anchors(text, evidence)
    return text


def outcomes(file: FindingsFile) -> dict[str, str]:
    """Verdict by hypothesis."""
    return {verdict.hypothesis: verdict.outcome for verdict in file.verdicts}
