"""TR130 on sessions made by hand, whose truth is known; a stand-in for real servers."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from inferometer import analysis, manifest, tidy
from inferometer.design import Cell
from inferometer.economics.blends import BLENDS
from inferometer.experiments import Experiment, find
from inferometer.findings import FindingsFile
from inferometer.reporting import pages

REPOSITORY = Path(__file__).parents[2]
FOLDER = "experiments/tr130_serving_stacks"
MACHINE = "testbox-2c-8g-abc123"


@dataclass(frozen=True)
class Truth:
    """One SUT: `rate` tokens/s alone, Amdahl's `serial` fraction, prefill seconds per token."""

    rate: float = 30.0
    serial: float = 0.1
    prefill_s: float = 0.0005
    one_at_a_time: bool = False
    precision: str = "float32"
    answer: str = "the same words"
    cached: int | None = 0
    testable: bool = True
    failing: tuple[str, ...] = ()
    noise: float = 0.02

    def total(self, agents: int) -> float:
        """Decoded tokens per second of all agents."""
        return self.rate * agents / (1 + self.serial * (agents - 1))


SERIAL = Truth(rate=36.0, serial=1.0, one_at_a_time=True)
SUTS = {
    "llamacpp": Truth(rate=36.0, serial=0.5),
    "vllm": Truth(rate=24.0, serial=0.1),
    "openvino": Truth(rate=24.0, serial=0.1, prefill_s=0.0001),
    "transformers": Truth(rate=15.0, serial=0.3),
    "llamacpp-serial": SERIAL,
    "llamacpp-q4": Truth(rate=150.0, serial=0.5, precision="Q4_1", answer="other words"),
    "vllm-bf16": Truth(rate=100.0, serial=0.1, precision="bfloat16"),
}


def cell_records(truth: Truth, index: int, cell: Cell, lengths: tuple[int, int], rng, speed: float):
    """Rounds of requests, one of each agent at a time, and the cell that they make up."""
    agents, (prompt, output) = int(cell.levels["agents"]), lengths
    speed *= float(np.exp(rng.normal(0, truth.noise)))
    prefill = truth.prefill_s * prompt * agents * speed
    step = agents / truth.total(agents) * speed
    at, records = 0.0, []
    for sequence in range(4):
        ends = []
        for agent in range(agents):
            # a serial server lets the others wait, and then decodes as fast as it does alone
            wait = agent * (prefill + step * output) / agents if truth.one_at_a_time else 0.0
            own = step / agents if truth.one_at_a_time else step
            first = at + wait + (prefill / agents if truth.one_at_a_time else prefill) + own
            stamps = [round((first - at + own * k) * 1e6) for k in range(output)]
            ends.append(at + stamps[-1] / 1e6)
            records.append(
                {
                    **{"kind": "request", "cell": index, "agent": agent, "server": 0},
                    **{"sequence": sequence, "sent_s": at, "first_token_s": at + stamps[0] / 1e6},
                    **{"last_token_s": ends[-1], "done_s": ends[-1], "token_us": stamps},
                    **{"prompt_tokens_asked": prompt, "output_tokens_asked": output},
                    **{"prompt_tokens": prompt, "completion_tokens": output, "error": None},
                    **{"cached_tokens": truth.cached, "finish_reason": "length", "status": "ok"},
                    **{"server_prefill_s": None, "server_decode_s": None},
                }
            )
        at = max(ends)
    bad = cell.label in truth.failing
    records.append(
        {
            **{"kind": "cell", "cell": index, "phase": cell.phase, "levels": cell.levels},
            **{"valid": not bad, "reasons": ["it failed"] if bad else []},
            **{"started_s": 0.0, "ended_s": at, "window_start_s": 0.0, "window_end_s": at},
        }
    )
    return records


def session(truth: Truth, cells: list[Cell], step, effort, rng) -> list[dict]:
    """All lines of one session."""
    if not truth.testable:
        return [
            {
                **{"kind": "cell", "cell": index, "phase": cell.phase, "levels": cell.levels},
                **{"valid": True, "reasons": [], "not_testable": "no such processor"},
                **{"started_s": 0.0, "ended_s": 0.0},
                **{"window_start_s": None, "window_end_s": None},
            }
            for index, cell in enumerate(cells)
        ]
    lines: list[dict] = [
        {
            **{"kind": "facts", "stack": "x", "artifact": "weights", "artifact_sha256": "ab" * 32},
            **{"precision": truth.precision, "exact_prompts": True},
        }
    ]
    lines += [{"kind": "greedy", "prompt": k, "text": f"{truth.answer} {k}"} for k in range(4)]
    speed = float(np.exp(rng.normal(0, truth.noise)))
    for index, cell in enumerate(cells):
        lengths = step.lengths(effort, str(cell.levels["workload"]))
        lines += cell_records(truth, index, cell, lengths, rng, speed)
    return lines


def seal(experiment: Experiment, root: Path, sut: str, block: int, lines: list, depth: str):
    raw = experiment.raw(root, MACHINE, depth, sut, block)
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text("".join(json.dumps({"schema_version": 1, **line}) + "\n" for line in lines))
    cells = [Cell(phase=x["phase"], levels=x["levels"]) for x in lines if x["kind"] == "cell"]
    invalid = {
        cell.label: ["it failed"]
        for cell, line in zip(cells, [x for x in lines if x["kind"] == "cell"], strict=True)
        if not line["valid"]
    }
    untested = {
        cell.label: "no such processor"
        for cell, line in zip(cells, [x for x in lines if x["kind"] == "cell"], strict=True)
        if line.get("not_testable")
    }
    identity = {
        **{"cpu_model": "Test CPU", "cpu_family": "1/2/3", "cores": 2, "threads": 2, "isa": []},
        **{"caches": {}, "ram_gib": 8, "numa_nodes": 1, "gpus": []},
    }
    machine = {"id": MACHINE, "identity": identity, "software": {}, "software_digest": "0" * 64}
    server = {"stack": "x", "command": ["x"], "environment": None, "artifact": None}
    load = {"added_ttft_p50_s": 1e-4}
    content = {
        **{"session": f"{sut}/{block:02d}", "sut": sut, "block": block, "depth": depth},
        **{"design_digest": experiment.design.digest, "invalid_cells": invalid},
        **{"cell_order": [cell.label for cell in cells], "not_testable_cells": untested},
        **{"timing": {"wall_s": 30.0, "cells_s": 20.0}},
        "noise": {
            **{"block": {"steal_fraction": 0.0, "foreign_cpu_fraction": 0.0}},
            **{"noisy": False, "complaints": []},
        },
        **{"started": "2026-11-21T10:00:00+00:00", "ended": "2026-11-21T10:01:00+00:00"},
        **{"machine": machine, "code": {"commit": "0" * 40, "dirty": None}},
        **{"servers": [{**server, "read_back": {}}]},
        "calibration": {"streams": load, "rate": load},
    }
    manifest.seal(raw, content, target=manifest.path_for(raw))


def found(root: Path, suts: dict[str, Truth], depth: str = "standard", seed: int = 7):
    """Findings of a repository with TR130 and sealed sessions of these SUTs."""
    shutil.copytree(REPOSITORY / FOLDER, root / FOLDER)
    experiment = find(root)["tr130"]
    step, rng = experiment.step("measure"), np.random.default_rng(seed)
    plan = experiment.design.plan(depth)
    effort = step.Effort.model_validate(plan.effort)
    for sut, block in experiment.design.session_order(depth, list(suts)):
        cells = experiment.design.cell_order(depth, sut, block)
        lines = session(suts[sut], cells, step, effort, rng)
        seal(experiment, root, sut, block, lines, depth)
    results = experiment.results(root, MACHINE, depth)
    tidy.write(tidy.observations(results), results / "observations.parquet")
    table = tidy.read(results / "observations.parquet")
    file, drawn = analysis.analyse(experiment, results, MACHINE, depth, table)
    file.save(results / "findings.json")
    return file.model_copy(update={"figures": {f"{name}.svg": "not saved" for name in drawn}})


def report(root: Path, file: FindingsFile) -> str:
    source = pages.Source(file, "0" * 64, "../results", root / FOLDER)
    text = pages.report(source)
    assert not pages.missing_anchors(text, {"tr130.evidence.md": pages.evidence_page(source)})
    return text


def outcomes(file: FindingsFile) -> dict[str, str]:
    return {verdict.hypothesis: verdict.outcome for verdict in file.verdicts}


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    root = tmp_path_factory.mktemp("tr130")
    return root, found(root, SUTS)


def test_smoke(standard):
    root, file = standard
    text = report(root, file)
    Path("/tmp/tr130.md").write_text(text)
