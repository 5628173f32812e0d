"""Sessions of profiled runs made by hand, whose truth is known; they stand in for real SUTs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from simulated import MACHINE, analysed, cell_line, placed, seal

from inferometer.design import Cell
from inferometer.findings import FindingsFile

FACTS = {
    **{"layers": 30, "heads": 9, "kv_heads": 3, "head_dim": 64, "hidden": 576},
    **{"vocabulary": 49152, "parameters": 134_515_008, "context": 8192, "kv_value_bytes": 4},
    **{"weight_bytes": 538_060_032, "decode_weight_bytes": 538_060_032, "load_s": 1.0},
}


@dataclass(frozen=True)
class Truth:
    """One SUT: seconds and calls of a step, and how N sequences go through it.

    `shared` of the work of a step is done once for all N sequences; 0 is serial, 1 a perfect batch.
    `overhead` is the factor that profiling takes. `missing` is why it cannot be profiled.
    """

    step_s: float = 0.04
    calls: int = 1000
    shared: float = 0.0
    shared_calls: float | None = None
    overhead: float = 1.2
    served: bool = False
    overlap: bool = False
    device: bool = False
    missing: str | None = None
    not_testable: str | None = None
    batched: bool = False

    def seconds(self, agents: int, tokens: int) -> float:
        """Of a whole run."""
        return self.step_s * tokens * (self.shared + (1 - self.shared) * agents)

    def count(self, agents: int, tokens: int) -> int:
        """Calls of a whole run of N times `tokens`."""
        shared = self.shared if self.shared_calls is None else self.shared_calls
        return round(self.calls * tokens * (shared + (1 - shared) * agents))


def run_records(truth: Truth, agents: int, tokens: int, profiled: bool, speed: float) -> list[dict]:
    """The records of one run."""
    wall = truth.seconds(agents, tokens) * speed * (truth.overhead if profiled else 1)
    common = {"repetition": 0, "profiled": profiled, "status": "ok", "error": None}
    counted = None if truth.served else 1.0 * (agents if truth.batched else 1)
    run = {
        **{"kind": "run", "agents": agents, "tokens": agents * tokens, **common},
        **{"started_s": 1.0, "wall_s": wall, "mean_batch": counted},
        "steps": None if truth.served else tokens * (1 if truth.batched else agents),
    }
    part: dict = {"kind": "request" if truth.served else "sequence", "agent": 0, **common}
    if truth.served:
        part |= {"sequence": 0, "sent_s": 1.0, "first_token_s": 1.1, "last_token_s": 2.0}
        part |= {"done_s": 2.0, "token_us": [1, 2], "server": 0, "completion_tokens": tokens}
    else:
        part |= {"tokens": tokens, "started_s": 1.0, "ttft_s": 0.1, "ended_s": 1.0 + wall}
    return [part, run]


def trace_records(truth: Truth, agents: int, tokens: int, speed: float) -> list[dict]:
    """The records of the traces of one run: one part prefill, the others decode."""
    found: list[dict] = []
    for phase, part in (("prefill", 1), ("decode", tokens - 1), ("all", tokens)):
        calls = truth.count(agents, tokens) * part // tokens
        seconds = truth.seconds(agents, part) * speed * truth.overhead
        found.append(
            {
                **{"kind": "trace", "repetition": 0, "phase_of_work": phase},
                **{"collector": "kineto", "work": "device" if truth.device else "host"},
                **{"tokens": agents * part, "window_s": seconds, "busy_s": 0.9 * seconds},
                **{"busy_fraction": 0.9, "operators": calls},
                **{"kernels": calls // 2 if truth.device else None},
                **{"launches": calls // 4 if truth.device else None},
                **{"max_concurrency": agents if truth.overlap else 1, "gap_p50_s": 1e-5},
                **{"gap_p90_s": 2e-5, "gap_p99_s": 3e-5, "unknown_share": 0.01},
                **{"memory_operation_s": 0.01 * seconds if truth.device else None},
                **{"trace_sha256": "0" * 64, "trace_bytes": 1000},
            }
        )
        if phase != "all":
            kind = "kernel" if truth.device else "operator"
            found += [
                {
                    **{"kind": "operation", "repetition": 0, "phase_of_work": phase},
                    **{"name": f"aten::{label}", "class": label, "operation_kind": kind},
                    **{"count": calls // 2, "self_s": share * seconds},
                }
                for label, share in (("gemm", 0.6), ("norm", 0.3))
            ]
    return found


def session(truth: Truth, cells: list[Cell], tokens: int, rng: np.random.Generator) -> list[dict]:
    """All lines of one session."""
    speed = float(np.exp(rng.normal(0, 0.02)))
    lines: list[dict] = [{"kind": "warmup", "status": "ok"}]
    for index, cell in enumerate(cells):
        agents = int(cell.levels["agents"])
        made: list[dict] = []
        if truth.missing:
            made.append({"kind": "facts", "profiler_missing": True, "error": truth.missing})
        if truth.not_testable is None:
            own = [speed * float(np.exp(rng.normal(0, 0.005))) for _ in range(2)]
            made += run_records(truth, agents, tokens, False, own[0])
            if truth.missing is None:
                made += run_records(truth, agents, tokens, True, own[1])
                made += trace_records(truth, agents, tokens, own[1])
        lines += [{**record, "cell": index} for record in made]
        untested = {"not_testable": truth.not_testable} if truth.not_testable else {}
        lines.append(cell_line(index, cell, **untested))
    return lines


def found(root: Path, folder: str, suts: dict[str, Truth], depth: str = "standard") -> FindingsFile:
    """Findings of a repository with one experiment and sealed sessions of these SUTs."""
    experiment = placed(root, folder)
    rng = np.random.default_rng(7)
    plan = experiment.design.plan("standard")
    for sut, truth in suts.items():
        for block in range(plan.blocks):
            cells = experiment.design.cell_order("standard", sut, block)
            lines = session(truth, cells, int(plan.effort["output_tokens"]), rng)
            read_back = {"slots": 1} if truth.served else FACTS
            seal(
                *(experiment, root, "standard", sut, block, lines),
                read_back=None if truth.not_testable else read_back,
                load={"added_ttft_p50_s": 1e-4} if truth.served else None,
            )
    return analysed(experiment, experiment.results(root, MACHINE, "standard"), depth)
