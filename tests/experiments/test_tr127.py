"""TR127 on sessions made by hand, whose truth is known; a stand-in for real workers and servers."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from checkouts import REPOSITORY
from simulated import MACHINE, analysed, cell_line, outcomes, placed, report, seal

from inferometer.design import Cell
from inferometer.experiments import find
from inferometer.findings import FindingsFile
from inferometer.session import BlockRun, CellOutcome, CellRun
from inferometer.subjects import InProcess

FOLDER = "experiments/tr127_context_scaling"
MIB = 2**20
LOADED = 850 * MIB
ACTIVATIONS = (3 * 1536 + 3 * 576) * 4


@dataclass(frozen=True)
class Truth:
    """One SUT: prefill a T^b seconds, seconds per token, memory, prompts from a cache."""

    a: float = 1e-3
    b: float = 1.2
    decode_s: float = 0.04
    decode_growth_s: float = 1e-5
    served: bool = False
    cached: bool = False
    eager: bool = False
    limit_mib: int | None = None
    slow_beyond: int | None = None
    slowdown: float = 60.0
    killed_from: int | None = None
    kv_token: int = 46080
    extra_bytes: int = 0

    def prefill(self, tokens: int) -> float:
        return self.a * tokens**self.b

    def decode(self, tokens: int) -> float:
        slow = self.slow_beyond is not None and tokens > self.slow_beyond
        return (self.decode_s + self.decode_growth_s * tokens) * (self.slowdown if slow else 1)

    def peak(self, tokens: int) -> int:
        scores = (2 * 9 + 1) * tokens**2 * 4 if self.eager else 0
        return LOADED + (self.kv_token + ACTIVATIONS) * tokens + scores + self.extra_bytes * tokens

    def facts(self) -> dict:
        return {
            **{"layers": 30, "heads": 9, "kv_heads": 3, "head_dim": 64, "hidden": 576},
            **{"vocabulary": 49152, "parameters": 134_515_008, "context": 8192},
            **{"weight_bytes": 538_060_032, "loaded_bytes": LOADED, "load_s": 1.0},
            **{"capacity_bytes": 24 * 2**30, "memory_limit_mib": self.limit_mib},
        }


SUTS = {
    "smollm2-sdpa": Truth(),
    "smollm2-eager": Truth(a=0.5e-3, b=1.4, eager=True),
    "gpt2-sdpa": Truth(b=1.1),
    "smollm2-sdpa-capped": Truth(limit_mib=1280),
    "smollm2-eager-capped": Truth(eager=True, limit_mib=1280),
    "llamacpp": Truth(a=2e-3, b=1.1, decode_s=0.006, served=True),
    "llamacpp-repeated": Truth(a=0.01, b=0.1, decode_s=0.006, served=True, cached=True),
    "llamacpp-capped": Truth(a=2e-3, b=1.1, decode_s=0.006, served=True, slow_beyond=1140),
}


def phases(truth: Truth, cell: int, tokens: int, output: int, repetition: int, speed: float):
    """The records of one repetition in a worker; the first is half as slow again."""
    speed *= 1.5 if repetition == 0 else 1.0
    common = {"kind": "phase", "cell": cell, "repetition": repetition, "cached": True}
    common |= {"prompt_tokens": tokens, "output_tokens_asked": output, "base_bytes": LOADED}
    if truth.limit_mib and truth.peak(tokens) > truth.limit_mib * MIB:
        bad = {"part": "prefill", "tokens": tokens, "wall_s": 0.5, "context_end": tokens}
        yield common | bad | {"peak_bytes": LOADED, "kv_bytes": 0, "status": "oom", "error": "no"}
        return
    held = tokens + output - 1
    for part, count, seconds, end, peak in (
        ("prefill", tokens, truth.prefill(tokens), tokens, truth.peak(tokens)),
        ("decode", output - 1, truth.decode(tokens) * (output - 1), held, truth.peak(0)),
    ):
        yield common | {
            **{"part": part, "tokens": count, "wall_s": seconds * speed, "context_end": end},
            **{"started_s": 1.0, "step_s": [], "peak_bytes": peak, "status": "ok", "error": None},
            **{"kv_bytes": truth.kv_token * end, "kv_bytes_by_layer": []},
        }


def request(truth: Truth, cell: int, tokens: int, output: int, sequence: int, speed: float):
    """The record of one request to a server."""
    speed *= 1.5 if sequence == 0 else 1.0
    first = truth.prefill(tokens) * speed + 0.001
    last = first + truth.decode(tokens) * speed * (output - 1)
    killed = truth.killed_from is not None and tokens >= truth.killed_from
    yield {
        **{"kind": "request", "cell": cell, "agent": 0, "server": 0, "sequence": sequence},
        **{"sent_s": 1.0, "first_token_s": 1 + first, "last_token_s": 1 + last},
        **{"done_s": 1 + last, "prompt_tokens": tokens, "completion_tokens": output},
        "cached_tokens": tokens - 1 if truth.cached else 0,
        **{"server_prefill_s": truth.prefill(tokens) * speed, "token_us": [1, 2]},
        **{"server_decode_s": last - first, "status": "gone" if killed else "ok", "error": None},
    }


def session(truth: Truth, cells: list[Cell], output: int, rng: np.random.Generator) -> list[dict]:
    """All lines of one session."""
    speed = float(np.exp(rng.normal(0, 0.02)))
    lines: list[dict] = [] if truth.served else [{"kind": "check", "same_output": True}]
    record = request if truth.served else phases
    for index, cell in enumerate(cells):
        tokens = int(cell.levels["context"])
        for repetition in range(2):
            own = speed * float(np.exp(rng.normal(0, 0.01)))
            made = list(record(truth, index, tokens, output, repetition, own))
            lines += made
            if made[-1]["status"] != "ok":
                break
        lines.append(cell_line(index, cell))
    return lines


def found(root: Path, suts: dict[str, Truth], depth: str = "standard") -> FindingsFile:
    """Findings of a repository with TR127 and sealed sessions of these SUTs."""
    experiment = placed(root, FOLDER)
    rng = np.random.default_rng(7)
    plan = experiment.design.plan("standard")
    for sut, truth in suts.items():
        for block in range(plan.blocks):
            cells = experiment.design.cell_order("standard", sut, block)
            lines = session(truth, cells, int(plan.effort["output_tokens"]), rng)
            read_back = {"slots": 1} if truth.served else truth.facts()
            load = {"added_ttft_p50_s": 1e-4} if truth.served else None
            seal(experiment, root, "standard", sut, block, lines, read_back=read_back, load=load)
    return analysed(experiment, experiment.results(root, MACHINE, "standard"), depth)


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    root = tmp_path_factory.mktemp("tr127")
    return root, found(root, SUTS)


def test_exponents_times_and_growth_are_the_truth(standard):
    _, file = standard
    for sut in ("smollm2-sdpa", "smollm2-eager", "gpt2-sdpa", "llamacpp", "llamacpp-repeated"):
        for name in ("exponent", "exponent_last"):
            exponent = file[f"{sut}.{name}"]
            assert exponent.value == pytest.approx(SUTS[sut].b, abs=0.03)
            assert exponent.interval.low < exponent.value < exponent.interval.high
        assert file[f"{sut}.exponent_additive"].value == pytest.approx(SUTS[sut].b, abs=0.03)
    sdpa = SUTS["smollm2-sdpa"]
    warm, cold = (file[f"smollm2-sdpa.prefill{kind}.c512"] for kind in ("", "_cold"))
    assert warm.value == pytest.approx(sdpa.prefill(512), rel=0.03)
    assert cold.value == pytest.approx(1.5 * sdpa.prefill(512), rel=0.03)
    assert warm.n == 7
    assert file["smollm2-sdpa.ttft.c512"].value == warm.value
    growth = file["smollm2-sdpa.decode_growth"].value
    assert growth == pytest.approx(sdpa.decode(2048) / sdpa.decode(64), rel=0.02)
    assert file["smollm2-sdpa.decode_slope"].value == pytest.approx(0.01, rel=0.1)
    assert file["llamacpp.ttft.c512"].value > file["llamacpp.prefill.c512"].value


def test_each_time_rests_on_its_own_records(standard):
    _, file = standard
    warm = file["smollm2-sdpa.decode.c512"].rows
    assert warm.where["part"] == "decode"
    assert warm.where["repetition"] == [1]
    assert warm.count == 7
    assert file["llamacpp.prefill_cold.c512"].rows.count == 7
    assert file["artefact.c512"].rows.count == 14
    assert all(f.rows.count > 0 or f.value in (None, 0) for f in file.findings)


def test_the_repeated_prompt_is_shown_as_what_it_is(standard):
    root, file = standard
    assert file["llamacpp-repeated.cached.c512"].value == 511
    assert file["llamacpp.cached.c512"].value == 0
    truth = SUTS["llamacpp"].prefill(512) / SUTS["llamacpp-repeated"].prefill(512)
    assert file["artefact.c512"].value == pytest.approx(truth, rel=0.05)
    seen = outcomes(file)
    assert seen["served_not_sublinear"] == seen["repeated_looks_sublinear"] == "supported"
    assert "of the prompts came out of the cache" in report(root / FOLDER, file)


def test_memory_is_compared_with_the_formula(standard):
    _, file = standard
    assert file["smollm2-sdpa.kv_formula"].value == 46080
    assert file["smollm2-sdpa.kv_slope_error"].value == pytest.approx(1)
    for sut in ("smollm2-sdpa", "smollm2-eager"):
        assert file[f"{sut}.peak_error.c2048"].value == pytest.approx(1, abs=1e-6)
    logits = file["smollm2-sdpa.peak_all_logits.c2048"].value
    assert logits > file["smollm2-sdpa.peak_predicted.c2048"].value
    seen = outcomes(file)
    assert seen["sdpa_memory_formula"] == seen["eager_memory_formula"] == "supported"
    assert seen["kv_slope"] == "supported"


def test_the_longest_context_is_bounded_by_the_model_and_said_to_be_extrapolated(standard):
    _, file = standard
    longest = file["smollm2-sdpa.context_at_85"]
    assert longest.value == 8192
    assert "model's own context" in longest.notes
    assert "extrapolated" in longest.notes


def test_the_limit_stops_eager_attention_where_arithmetic_says(standard):
    root, file = standard
    eager, truth = "smollm2-eager-capped", SUTS["smollm2-eager-capped"]
    predicted = file[f"{eager}.limit_predicted"].value
    assert truth.peak(predicted) <= 1280 * MIB < truth.peak(predicted + 1)
    assert file[f"{eager}.limit_largest_ok"].value == 1536
    assert file[f"{eager}.limit_smallest_oom"].value == 2048
    assert file[f"{eager}.limit_ooms"].value == 7
    assert file["smollm2-sdpa-capped.limit_smallest_oom"].value is None
    assert file["smollm2-sdpa-capped.limit_predicted"].value > 4096
    seen = outcomes(file)
    assert seen["eager_stops_as_predicted"] == seen["sdpa_goes_on_as_predicted"] == "supported"
    assert file["status.oom"].value == 7
    assert "memory never ran out" in report(root / FOLDER, file)


def test_the_cliff_has_its_size_and_its_place(standard):
    _, file = standard
    assert file["spill.decode.c1536"].value == pytest.approx(60, rel=0.05)
    assert file["spill.decode.c512"].value == pytest.approx(1, rel=0.05)
    assert (file["spill.found_before"].value, file["spill.found_after"].value) == (1024, 1536)
    assert file["spill.predicted_p"].value < 0.001
    assert file["spill.found_p"].value < 0.05
    seen = outcomes(file)
    assert seen["spill_where_predicted"] == seen["spill_published_size"] == "supported"


def test_verdicts_decision_and_report(standard):
    root, file = standard
    seen = outcomes(file)
    assert set(seen) == set(find(root)["tr127"].design.hypotheses)
    assert seen["eager_published_exponent"] == "refuted"
    assert seen["sdpa_linear_to_quadratic"] == "supported"
    assert seen["decode_grows"] == "supported"
    (decision,) = file.decisions
    assert decision.root.no.finding == "backend.ttft.c1024"
    text = report(root / FOLDER, file)
    assert "cliff" in text
    assert "Paged attention is not compared" in text
    assert set(file.figures) == {
        f"{name}.svg" for name in ("prefill", "decode", "memory", "artefact", "spill")
    }


def test_without_real_effects_nothing_is_claimed(tmp_path):
    """No growth, no cliff, more memory than predicted: no verdict says otherwise."""
    flat = Truth(decode_growth_s=0.0, extra_bytes=200_000)
    free = SUTS["llamacpp"]
    suts = {"smollm2-sdpa": flat, "llamacpp": replace(free, b=0.5), "llamacpp-capped": free}
    seen = outcomes(found(tmp_path, suts))
    assert seen["sdpa_memory_formula"] == "refuted"
    assert seen["served_not_sublinear"] == "refuted"
    assert seen["spill_where_predicted"] in ("inconclusive", "refuted")
    assert seen["spill_published_size"] == "refuted"
    assert seen["decode_grows"] != "supported"
    assert seen["repeated_looks_sublinear"] == "not testable here"


def test_a_wrong_prediction_is_refuted(tmp_path):
    suts = {
        "smollm2-eager-capped": Truth(eager=True, limit_mib=1280, extra_bytes=200_000),
        "llamacpp": SUTS["llamacpp"],
        "llamacpp-capped": replace(SUTS["llamacpp-capped"], slow_beyond=512),
    }
    seen = outcomes(found(tmp_path, suts))
    assert seen["eager_stops_as_predicted"] == "refuted"
    assert seen["spill_where_predicted"] == "refuted"


@pytest.mark.parametrize(
    "suts",
    [
        {"smollm2-sdpa": SUTS["smollm2-sdpa"]},
        {"llamacpp": SUTS["llamacpp"]},
        {"smollm2-eager-capped": replace(SUTS["smollm2-eager-capped"], limit_mib=800)},
        {
            "llamacpp": SUTS["llamacpp"],
            "llamacpp-capped": replace(SUTS["llamacpp-capped"], killed_from=512),
        },
        {"qwen-05b-cuda-sdpa": SUTS["smollm2-sdpa"], "qwen-05b-cuda-eager": SUTS["smollm2-eager"]},
    ],
    ids=["one worker", "one server", "all out of memory", "all killed", "other SUTs"],
)
@pytest.mark.parametrize("depth", ["standard", "quick"])
def test_what_is_missing_is_said_and_the_report_stands(tmp_path, suts, depth):
    file = found(tmp_path, suts, depth)
    text = report(tmp_path / FOLDER, file)
    assert re.search(r"not testable here|Exploratory|exploratory", text)
    if "llamacpp-capped" in suts:
        assert file["spill.failed"].value == 21
        assert "gone at 512 tokens" in file["spill.failed"].notes


def test_a_cell_asks_for_what_its_sut_can_do(monkeypatch):
    """The choice of the measurement alone; the measurements themselves have their own tests."""
    step = find(REPOSITORY)["tr127"].step("measure")
    asked = []

    async def generation(run: CellRun, **how) -> CellOutcome:
        asked.append(("worker", how["prompt_tokens"], how["cached"]))
        return CellOutcome(None, None, [])

    async def single(run: CellRun, **how) -> CellOutcome:
        asked.append((how["prompts"], how["prompt_tokens"], how["output_tokens"]))
        return CellOutcome(None, None, [])

    monkeypatch.setattr(step, "measure_generation", generation)
    monkeypatch.setattr(step, "measure_single_stream", single)
    effort = step.Effort(repetitions=2, deadline_s=5, output_tokens=12, longest_prompt=2048)
    worker = InProcess.__new__(InProcess)
    settings = (
        {"prefix_cache": False, "memory_limit_mib": None},
        {"prefix_cache": True, "memory_limit_mib": None},
        {"prefix_cache": False, "memory_limit_mib": 290},
    )
    suts = [worker, *(SimpleNamespace(settings=SimpleNamespace(**s)) for s in settings)]
    cell = Cell(phase="scaling", levels={"context": 64})
    runs = [CellRun(None, effort, [sut], lambda _: None, cell, 0) for sut in suts]
    outcomes_ = [_run(step.measure(run)) for run in runs]
    assert asked == [
        ("worker", 64, True),
        ("unique", 64, 12),
        ("repeated", 64, 12),
        ("unique", 64, 12),
    ]
    assert [outcome.restart for outcome in outcomes_] == [False, False, False, True]


def test_a_server_is_warmed_by_one_request_after_the_other():
    step = find(REPOSITORY)["tr127"].step("measure")
    kept, now = [], []

    class Client:
        """A stand-in server that says when two requests meet."""

        async def generate(self, request, agent, sequence):
            assert not now, "two requests at once"
            now.append(sequence)
            now.remove(sequence)
            return {"status": "ok", "prompt": request.prompt, "sequence": sequence}

    prompts = SimpleNamespace(prompt=lambda length, index: [index] * length)
    sut = SimpleNamespace(client=Client(), prompts=prompts)
    design = find(REPOSITORY)["tr127"].design
    effort = step.Effort(repetitions=2, deadline_s=5, warmup_tokens=8, longest_prompt=64)
    assert _run(step.warm_up(BlockRun(design, effort, [sut], kept.append))) == 2
    assert [(r["kind"], r["prompt"]) for r in kept] == [("warmup", [0] * 8), ("warmup", [1] * 8)]


def _run(coroutine):
    import asyncio

    return asyncio.run(coroutine)
