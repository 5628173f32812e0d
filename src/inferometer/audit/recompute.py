"""Compute again from raw: the observations, and every finding that was committed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from inferometer import analysis, digests, tidy
from inferometer.audit import differences, rows
from inferometer.errors import UserError
from inferometer.experiments import Experiment
from inferometer.findings import FindingsFile, Rows
from inferometer.reporting import context as contexts


@dataclass(frozen=True)
class Steps:
    """How raw becomes observations, and observations become findings."""

    observations: Callable[[Path], pd.DataFrame] = tidy.observations
    analyse: Callable[..., tuple[FindingsFile, Any]] = analysis.analyse


def table_problems(results: Path, file: FindingsFile, again: pd.DataFrame) -> list[str]:
    """How the stored observations differ from the digest in the findings and from raw."""
    path = results / "observations.parquet"
    if not path.is_file():
        return [f"{path}: missing; `inferometer tidy {results}` writes it"]
    found = []
    if digests.of_file(path) != file.observations_sha256:
        found.append(f"{path}: altered: sha256 differs from the one in findings.json")
    try:
        stored = pd.read_parquet(path)
    except Exception as error:  # a broken file fails in many ways inside the reader
        return [*found, f"{path}: cannot be read: {error}"]
    return found + [f"{path}: {words}" for words in differences.of_tables(stored, again)]


def finding_problems(
    results: Path, file: FindingsFile, experiment: Experiment, again: pd.DataFrame, steps: Steps
) -> list[str]:
    """Findings, verdicts and decisions that raw does not give again.

    The analysis runs under the design that the findings record, so that an edited design.yaml
    is one problem (`design_problem`) and not one for each finding.
    """
    where = results / "findings.json"
    try:
        recorded = replace(experiment, design=contexts.of(file).design)
        computed, _ = steps.analyse(recorded, results, file.machine, file.depth, again)
    except UserError as error:
        return [f"{where}: cannot be recomputed: {error}"]
    except Exception as error:  # whatever altered evidence does to an analysis
        return [f"{where}: the analysis fails on this evidence: {type(error).__name__}: {error}"]
    found = [f"{where}: {words}" for words in differences.of_findings(file, computed)]
    return found + [f"{where}: {words}" for words in _row_problems(file, again)]


def design_problem(file: FindingsFile, experiment: Experiment) -> list[str]:
    """The design was edited after the analysis."""
    if file.design_digest == experiment.design.digest:
        return []
    depth = "" if file.depth == "standard" else f" depth={file.depth}"
    return [
        f"{experiment.folder / 'design.yaml'}: is not the design that the findings on "
        f"{file.machine} at {file.depth} depth were analysed with; run `snakemake "
        f"reports/{file.experiment}.md --config machine={file.machine}{depth}`"
    ]


def figure_problems(results: Path, file: FindingsFile) -> list[str]:
    """Figures that are missing or not the ones drawn with the findings."""
    found = []
    for name, sha256 in file.figures.items():
        path = results / "figures" / name
        if not path.is_file():
            found.append(f"{path}: missing; it was drawn with findings.json")
        elif digests.of_file(path) != sha256:
            found.append(f"{path}: altered: sha256 differs from the one in findings.json")
    return found


def _row_problems(file: FindingsFile, again: pd.DataFrame) -> list[str]:
    checked: dict[str, str | None] = {}
    found = []
    for finding in file.findings:
        key = _key(finding.rows)
        if key not in checked:
            checked[key] = rows.problem(finding.rows, again)
        if checked[key]:
            found.append(f"finding {finding.id}: {checked[key]}")
    return found


def _key(selector: Rows) -> str:
    return digests.of_data(selector.model_dump(mode="json"))
