"""TR126 on sessions made by hand, whose truth is known; a stand-in for real workers."""

import asyncio
import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import simulated
from checkouts import REPOSITORY
from simulated import MACHINE, analysed, cell_line, outcomes, placed, seal

from inferometer import analysis, tidy
from inferometer.design import Cell
from inferometer.errors import UserError
from inferometer.experiments import Experiment, find
from inferometer.findings import FindingsFile
from inferometer.session import BlockRun, CellRun
from inferometer.stacks.worker import WorkerGone

FOLDER = "experiments/tr126_compile_validation"
OUTPUT = 16
READ_BACK = {"context": 1024}


@dataclass(frozen=True)
class Truth:
    """The truth about an arm: seconds per prompt token and per step, seconds of compiling."""

    prefill_s: float = 0.002
    decode_s: float = 0.030
    compile_s: tuple[float, float] = (0.0, 0.0)
    graphs: int = 0
    breaks: int = 0
    skips: int = 0
    context: int = 1024
    crash: str | None = None
    """The status of a decode that crashes."""
    dirty: int | None = None
    """A prompt length at which something is compiled while it is timed."""
    other_tokens: bool = False

    @property
    def compiled(self) -> bool:
        return self.graphs > 0


EAGER = Truth()
DEFAULT = Truth(0.001, 0.033, (20.0, 10.0), graphs=3)
TRUTHS = {
    "gpt2-eager": EAGER,
    "gpt2-default": DEFAULT,
    "gpt2-reduce": replace(DEFAULT, skips=3),
    "gpt2-static": Truth(0.001, 0.024, (20.0, 8.0), graphs=2),
}


def counted(truth: Truth, part: str, compiling: bool) -> dict:
    """What the worker says of its compiler; an eager one says nothing."""
    if not truth.compiled:
        return {}
    graphs = (1 if part == "prefill" else truth.graphs - 1) if compiling else 0
    said = {"compile_reasons": "recompiled: 0/0: is_initialized"} if graphs > 1 else {}
    return {
        **{"graphs_compiled": graphs, "recompiles": graphs if part == "decode" else 0},
        **{"graph_breaks": truth.breaks if graphs else 0, "cudagraphs_recorded": 0},
        **{"cudagraph_skips": min(truth.skips, graphs), "kernels_generated": 100 * graphs},
        **{"compile_s": truth.compile_s[part == "decode"] if compiling else 0.0},
        **{"compiled_in_region": compiling, **said},
    }


def parts(
    truth: Truth, kind: str, prompt: int, speed: list[float], *, compiling: bool = False
) -> list[dict]:
    """Prefill and decode of one use; decode may crash."""
    found = []
    for part, tokens, seconds, factor in (
        ("prefill", prompt, truth.prefill_s * prompt, speed[0]),
        ("decode", OUTPUT - 1, truth.decode_s * (OUTPUT - 1), speed[1]),
    ):
        crashed = truth.crash is not None and part == "decode"
        did = counted(truth, part, compiling)
        found.append(
            {
                **{"kind": kind, "prompt_tokens": prompt, "output_tokens_asked": OUTPUT},
                **{"part": part, "tokens": tokens, "started_s": 1.0, "peak_bytes": 10**9},
                **{"context_end": prompt, "kv_bytes": 0, "cached": True},
                "wall_s": seconds * factor + (did.get("compile_s") or 0.0),
                "status": truth.crash if crashed else "ok",
                "error": "RuntimeError: overwritten\n  File a.py" if crashed else None,
                **did,
            }
        )
    return found


def settled(
    truth: Truth, prompt: int, rng: np.random.Generator, about: dict, *, compiling: bool
) -> list[dict]:
    """The untimed uses of a sequence: one that compiles, if any, and one that does not."""
    lines = []
    uses = [True, False] if compiling and truth.compiled else [False]
    for use, busy in enumerate(uses):
        speed = [1.0, 1.0]
        seen = parts(truth, "compile", prompt, speed, compiling=busy)
        lines += [{**line, **about, "use": use} for line in seen]
        if truth.crash:
            return lines
    ids = [str(7 * k % 50 + prompt + (truth.other_tokens and k > 9)) for k in range(OUTPUT)]
    asked = {"prompt_tokens": prompt, "output_tokens_asked": OUTPUT}
    return [*lines, {"kind": "output", **asked, **about, "output_ids": " ".join(ids)}]


def session(truth: Truth, cells: list[Cell], rng: np.random.Generator) -> list[dict]:
    """All lines of one session."""
    speed = float(np.exp(rng.normal(0, 0.02)))
    lines = [{"kind": "facts", "device": "cpu"}]
    lines += settled(truth, 64, rng, {}, compiling=True)
    for index, cell in enumerate(cells):
        prompt = int(cell.levels["prompt"])
        extra: dict = {}
        if prompt + OUTPUT > truth.context:
            extra = {"not_testable": f"beyond the model's context of {truth.context}"}
        else:
            lines += settled(truth, prompt, rng, {"cell": index}, compiling=False)
            for repetition in (1, 2) if not truth.crash else ():
                factors = list(speed * np.exp(rng.normal(0, 0.004, 2)))
                busy = prompt == truth.dirty and repetition == 1
                seen = parts(truth, "phase", prompt, factors, compiling=busy)
                lines += [{**line, "cell": index, "repetition": repetition} for line in seen]
        lines.append(cell_line(index, cell, **extra))
    return lines


def measured(
    root: Path, truths: dict[str, Truth], depth: str = "standard"
) -> tuple[Experiment, Path]:
    """A repository with TR126 and sealed sessions of the arms."""
    experiment = placed(root, FOLDER)
    rng = np.random.default_rng(7)
    for sut, truth in truths.items():
        for block in range(experiment.design.plan(depth).blocks):
            cells = experiment.design.cell_order(depth, sut, block)
            lines = session(truth, cells, rng)
            seal(experiment, root, depth, sut, block, lines, read_back=READ_BACK)
    return experiment, experiment.results(root, MACHINE, depth)


def report(experiment: Experiment, file: FindingsFile) -> str:
    text = simulated.report(experiment.folder, file)
    assert not re.search(r"\bNone\b|\bnan\b", text)
    return text


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    experiment, results = measured(tmp_path_factory.mktemp("tr126"), TRUTHS)
    return experiment, results, analysed(experiment, results)


def test_times_and_ratios_are_the_truth_within_the_noise(standard):
    _, _, file = standard
    truths = {
        "gpt2-eager.prefill.p256": 0.512,
        "gpt2-default.decode.p896": 0.033,
        "gpt2-default.prefill_over_eager.p896": 0.5,
        "gpt2-default.decode_over_eager.p64": 1.1,
        "gpt2-static.decode_over_eager.p256": 0.8,
        "gpt2-static.decode_over_default.p256": 0.024 / 0.033,
    }
    for name, truth in truths.items():
        assert file[name].value == pytest.approx(truth, rel=0.03)
        assert file[name].interval.low < file[name].value < file[name].interval.high
        assert file[name].n == 7
    assert file["gpt2-default.prefill_p.p896"].value < 0.001
    assert "Holm over the 12 ratios" in file["gpt2-default.prefill_p.p896"].estimator
    assert "gpt2-eager.prefill_over_eager.p8" not in file


def test_the_compiler_is_counted(standard):
    _, _, file = standard
    assert file["gpt2-default.graphs_compiled"].value == 3
    assert file["gpt2-default.recompiles"].value == 2
    assert file["gpt2-default.kernels_generated"].value == 300
    assert file["gpt2-reduce.cudagraph_skips"].value == 3
    assert file["gpt2-default.compile_s.prefill"].value == 20
    assert file["gpt2-default.compile_s.all"].value == 30
    assert file["gpt2-default.first_use.prefill"].value == pytest.approx(20 + 64 * 0.001)
    assert file["gpt2-default.in_region"].value == 0
    assert file["gpt2-default.in_region"].interval.high < 0.1
    assert file["gpt2-default.reasons"].value == "recompiled: 0/0: is_initialized"
    assert not any(f.id.startswith("gpt2-eager.graphs") for f in file.findings)


def test_calls_that_pay(standard):
    _, _, file = standard
    prefill = file["gpt2-default.prefill_pays.p896"]
    assert prefill.value == pytest.approx(20 / 0.896, rel=0.04)
    assert prefill.interval.low < prefill.value < prefill.interval.high
    tokens = file["gpt2-default.prefill_pays_tokens.p896"]
    assert tokens.value == pytest.approx(896 * prefill.value)
    assert file["gpt2-default.decode_pays.p896"].value is None
    assert "not faster" in file["gpt2-default.decode_pays.p896"].reason
    request = file["gpt2-static.request_pays.p256"]
    assert request.value == pytest.approx(28 / (0.256 + 15 * 0.006), rel=0.1)


def test_verdicts_and_decision(standard):
    _, _, file = standard
    assert outcomes(file) == {
        "compilation_real": "supported",
        "same_tokens": "supported",
        "decode_crashes": "refuted",
        "prefill_published": "supported",
        "prefill_published_1b": "not testable here",
        "prefill_published_3b": "not testable here",
        "prefill_faster": "supported",
        "prefill_faster_static": "supported",
        "decode_faster": "refuted",
        "decode_faster_static": "supported",
        "reduce_same_prefill": "supported",
        "reduce_same_decode": "supported",
    }
    (decision,) = file.decisions
    assert decision.id == "compile-gpt2"
    assert decision.root.holds is True
    assert decision.root.finding == "gpt2-static.request_over_eager.p896"


def test_every_time_selects_the_parts_it_came_from(standard):
    _, results, file = standard
    table = tidy.read(results / "observations.parquet")
    for finding in file.findings:
        rows = analysis.select(table, finding.rows.where)
        assert len(rows) == finding.rows.count
        assert len(rows) > 0 or finding.id.startswith("records_")
        if re.search(r"\.(prefill|decode|request)(_over_\w+)?\.p\d", finding.id):
            assert set(rows["kind"]) == {"phase"}
            assert set(rows["status"]) == {"ok"}


def test_the_report_renders_with_every_number_linked(standard):
    experiment, _, file = standard
    text = report(experiment, file)
    assert "the published crash is not reproduced" in text
    assert {"ratio-gpt2.svg", "pays-gpt2.svg", "cost.svg"} == set(file.figures)


def test_what_is_compiled_while_it_is_timed_is_shown_and_not_averaged(tmp_path):
    truths = {**TRUTHS, "gpt2-default": replace(DEFAULT, dirty=256, breaks=1)}
    experiment, results = measured(tmp_path, truths)
    file = analysed(experiment, results)
    # one of two repetitions at one of four lengths
    assert file["gpt2-default.in_region"].value == pytest.approx(1 / 8)
    assert file["gpt2-default.in_region.p256"].value == 14
    assert file["gpt2-default.prefill.p256"].value == pytest.approx(0.256, rel=0.03)
    assert file["gpt2-default.prefill.p256"].rows.count == 7
    # compiling inside the region costs, too
    assert file["gpt2-default.compile_s.all"].value == 60
    assert outcomes(file)["compilation_real"] == "refuted"
    assert "something was compiled in" in report(experiment, file)


@pytest.mark.parametrize("status", ["error", "gone"])
def test_crashes_are_records_and_a_verdict(tmp_path, status):
    truths = {sut: replace(t, crash=status) if t.compiled else t for sut, t in TRUTHS.items()}
    experiment, results = measured(tmp_path, truths)
    file = analysed(experiment, results)
    assert file["gpt2-default.decode_crashes"].value == 1
    assert file["gpt2-default.decode_crashes"].n == 35
    assert file["gpt2-default.prefill_crashes"].value == 0
    assert file["gpt2-default.crash"].value == "RuntimeError: overwritten"
    assert outcomes(file)["decode_crashes"] == "supported"
    assert outcomes(file)["prefill_faster"] == "not testable here"
    assert file.decisions == []
    assert "Compiled decode crashed, as published" in report(experiment, file)


def test_other_tokens_no_gain_and_half_of_the_modes(tmp_path):
    slow = replace(DEFAULT, prefill_s=0.002, decode_s=0.030, other_tokens=True)
    experiment, results = measured(tmp_path, {"gpt2-eager": EAGER, "gpt2-default": slow})
    file = analysed(experiment, results)
    assert file["gpt2-default.same_output"].value == 0
    assert file["gpt2-default.same_tokens"].value == pytest.approx(10 / 16)
    assert outcomes(file)["same_tokens"] == "refuted"
    assert outcomes(file)["decode_crashes"] == "not testable here"
    assert outcomes(file)["prefill_published"] == "refuted"
    assert outcomes(file)["reduce_same_decode"] == "not testable here"
    # equal in truth: what pays is unbounded above, or never
    for finding in file.findings:
        if finding.id.startswith("gpt2-default.request_pays") and finding.value is not None:
            assert finding.interval.high is None or finding.interval.high > 1000
    report(experiment, file)


def test_lengths_beyond_the_context_and_eager_alone(tmp_path):
    experiment, results = measured(tmp_path, {"gpt2-eager": replace(EAGER, context=512)})
    file = analysed(experiment, results)
    assert "gpt2-eager.prefill.p896" not in file
    assert outcomes(file)["compilation_real"] == "not testable here"
    assert "beyond the model" in report(experiment, file)


def test_quick_depth_prints_no_verdicts(tmp_path):
    experiment, results = measured(tmp_path, TRUTHS, "quick")
    file = analysed(experiment, results, "quick")
    assert file.verdicts == []
    assert "Exploratory" in report(experiment, file)


def test_calls_that_pay_by_fieller():
    payback = Experiment("tr126", REPOSITORY / FOLDER, None).step("payback")  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        cost, saving = rng.normal(30, 1, 7), rng.normal(1, 0.5, 7)
        seen = payback.calls(dict(enumerate(cost)), dict(enumerate(saving)), "calls")
        low, high = seen.ci or (0.0, None)  # a mean saving below 0, which is rare here
        covered += low <= 30 <= (math.inf if high is None else high)
    assert 0.93 < covered / 1000 < 0.97
    saving = {0: 1.0, 1: -0.4, 2: 0.5}
    unclear = payback.calls(dict.fromkeys(range(3), 30.0), saving, "calls")
    assert unclear.value == pytest.approx(30 / 0.3667, rel=1e-3)
    assert 0 < unclear.ci[0] < unclear.value
    assert unclear.ci[1] is None
    assert "open" in unclear.note
    never = payback.calls({0: 1.0, 1: 1.0}, {0: 0.1, 1: -0.2}, "calls")
    assert never.value is None
    assert "not faster" in never.reason
    assert payback.calls({0: 1.0}, {1: 1.0}, "calls").value is None
    few = payback.calls({0: 1.0, 1: 3.0}, {0: 0.1, 1: 0.3}, "calls")
    assert (few.value, few.ci) == (pytest.approx(10), None)


class Worker:
    """Answers in place of a worker: a use that compiles, then ones that do not, or its end."""

    def __init__(self, *compiling: bool, ends: Exception | None = None, status: str = "ok"):
        self.left, self.ends, self.status = list(compiling), ends, status
        self.prompts: list[list[int]] = []

    async def generate(self, ids, output_tokens, cache=True):
        self.prompts.append(ids)
        if self.ends:
            raise self.ends
        busy = self.left.pop(0) if self.left else False
        part = {"part": "prefill", "status": self.status, "error": None, "step_s": []}
        part |= {"compiled_in_region": busy, "kv_bytes_by_layer": [1]}
        return {"parts": [part], "output_ids": [5, 6]}


@dataclass
class Sut:
    """As much of a running SUT as settling needs."""

    worker: Worker
    seed: str = "126/a/0/0"

    properties = {  # noqa: RUF012
        **{"vocabulary": 50257, "context": 1024, "memory_limit_mib": 512, "compile": "default"}
    }


def step_and_run(worker: Worker, kind: type, **more) -> tuple:
    experiment = find(REPOSITORY)["tr126"]
    step = experiment.step("measure")
    effort = step.Effort.model_validate(experiment.design.plan("standard").effort)
    lines: list[dict] = []
    run = kind(experiment.design, effort, [Sut(worker)], lines.append, **more)
    return step, run, lines


def test_a_cell_settles_until_nothing_is_compiled_and_is_then_timed():
    worker = Worker(True, True)
    cell = {"cell": Cell(phase="lengths", levels={"prompt": 8}), "first_index": 0}
    step, run, lines = step_and_run(worker, CellRun, **cell)
    outcome = asyncio.run(step.measure(run))
    assert (outcome.restart, outcome.not_testable) == (False, None)
    kinds = [(line["kind"], line.get("use", line.get("repetition"))) for line in lines]
    uses = [("compile", 0), ("compile", 1), ("compile", 2), ("output", None)]
    assert kinds == [*uses, ("phase", 1), ("phase", 2)]
    assert lines[3]["output_ids"] == "5 6"
    # settling has one prompt, the timed repetitions each another
    assert worker.prompts[0] == worker.prompts[2]
    assert len({tuple(ids) for ids in worker.prompts}) == 3
    # a compiler that never rests is not waited for
    worker = Worker(*[True] * 9)
    step, run, lines = step_and_run(worker, CellRun, **cell)
    asyncio.run(step.measure(run))
    assert sum(line["kind"] == "compile" for line in lines) == 4


def test_a_process_that_dies_while_settling_is_a_record():
    cell = {"cell": Cell(phase="lengths", levels={"prompt": 8}), "first_index": 0}
    for worker, status in (
        (Worker(ends=WorkerGone("the worker was killed by SIGSEGV")), "gone"),
        (Worker(status="error"), "error"),
    ):
        step, run, lines = step_and_run(worker, CellRun, **cell)
        outcome = asyncio.run(step.measure(run))
        assert outcome.restart is (status == "gone")
        assert [(line["kind"], line["status"]) for line in lines] == [("compile", status)]
        step, run, lines = step_and_run(worker, BlockRun)
        assert asyncio.run(step.warm_up(run)) == 0
        assert [line["kind"] for line in lines] == ["facts", "compile"]


def test_nothing_to_analyse_is_said(tmp_path):
    experiment, results = measured(tmp_path, {"gpt2-eager": replace(EAGER, context=8)}, "quick")
    for raw in results.glob("raw/*/*.jsonl"):
        lines = [json.loads(line) for line in raw.read_text().splitlines()]
        kept = [line for line in lines if line["kind"] in ("cell", "facts")]
        block = int(raw.stem)
        seal(experiment, tmp_path, "quick", "gpt2-eager", block, kept, read_back=READ_BACK)
    with pytest.raises(UserError, match="hold no records"):
        analysed(experiment, results, "quick")
