"""TR130 on sessions made by hand, whose truth is known; a stand-in for real servers."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from checkouts import REPOSITORY
from simulated import MACHINE, analysed, cell_line, outcomes, placed, report, seal

from inferometer import cli
from inferometer.design import Cell
from inferometer.experiments import find

FOLDER = "experiments/tr130_serving_stacks"


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
    "llamacpp-q4": Truth(rate=150.0, serial=0.5, precision="Q4_1", answer="the same phrase"),
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
    at += 1e-5  # the window does not hold its end
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
            cell_line(index, cell, not_testable="no such processor")
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


def found(root: Path, suts: dict[str, Truth], depth: str = "standard", seed: int = 7):
    """Findings of a repository with TR130 and sealed sessions of these SUTs."""
    experiment = placed(root, FOLDER)
    step, rng = experiment.step("measure"), np.random.default_rng(seed)
    plan = experiment.design.plan(depth)
    effort = step.Effort.model_validate(plan.effort)
    for sut, block in experiment.design.session_order(depth, list(suts)):
        cells = experiment.design.cell_order(depth, sut, block)
        lines = session(suts[sut], cells, step, effort, rng)
        load = {"added_ttft_p50_s": 1e-4}
        seal(experiment, root, depth, sut, block, lines, read_back={}, load=load)
    results = experiment.results(root, MACHINE, depth)
    file = analysed(experiment, results, depth)
    file.save(results / "findings.json")
    return file


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    root = tmp_path_factory.mktemp("tr130")
    return root, found(root, SUTS)


def expected(truth: Truth, agents: int, prompt: int = 32, output: int = 16) -> float:
    """Tokens per second of a round of requests, prefill included."""
    prefill = truth.prefill_s * prompt * agents
    return agents * output / (prefill + output * agents / truth.total(agents))


def test_totals_ratios_and_laws_are_the_truth(standard):
    _, file = standard
    for sut in ("llamacpp", "vllm", "openvino", "transformers"):
        for n in (1, 2, 4, 8):
            total = file[f"{sut}.throughput.n{n}"]
            assert total.value == pytest.approx(expected(SUTS[sut], n), rel=0.04)
            assert total.n == 7
    ratio = file["ratio.llamacpp.vllm.n8"]
    truth = expected(SUTS["llamacpp"], 8) / expected(SUTS["vllm"], 8)
    assert ratio.interval.low < truth < ratio.interval.high
    assert ratio.interval.confidence == pytest.approx(1 - 0.05 / 10)
    assert file["llamacpp.serial_fraction"].value == pytest.approx(0.5, abs=0.05)
    assert file["vllm.speedup.n8"].value > 4 > file["transformers.speedup.n8"].value
    assert all(f.rows.count > 0 or f.value in (None, 0) for f in file.findings)


def test_a_crossover_is_found_where_it_is_and_none_where_there_is_none(standard):
    _, file = standard
    # 24 N / (1 + .1 (N - 1)) against 36 whatever N is, but for prefill and interpolation
    seen = file["crossover.vllm.llamacpp-serial"]
    assert seen.value == pytest.approx(1.6, abs=0.1)
    assert seen.interval.low < seen.value < seen.interval.high
    never = file["crossover.openvino.transformers"]
    assert never.value is None
    assert never.reason == "none within N = 1 to 8: openvino leads throughout"
    assert outcomes(file)["crossover_published"] == "refuted"


def test_ranking_sameness_and_verdicts(standard):
    root, file = standard
    text = file["ranking.scaling.n8"].value
    assert text == "openvino > vllm > llamacpp > transformers > llamacpp-serial"
    assert "llamacpp ~ llamacpp-serial" in file["ranking.scaling.n1"].value
    assert "llamacpp-q4" not in text
    assert not [f.id for f in file.findings if f.id.startswith("ratio.vllm.vllm-bf16")]
    seen = outcomes(file)
    assert set(seen) == set(find(root)["tr130"].design.hypotheses)
    for sut in ("llamacpp", "vllm", "openvino"):
        assert seen[f"{sut}_beats_serial"] == "supported"
    assert seen["scaling_differs"] == "supported"
    assert seen["vllm_power_law"] == "refuted"
    assert seen["gain_published"] == "refuted"
    assert seen["best_precision_published"] == "supported"
    assert seen["vllm_same_as_llamacpp"] == "refuted"
    assert seen["routing_published"] == "refuted"


def test_what_was_set_is_checked(standard):
    _, file = standard
    assert file["llamacpp-serial.together.n8"].value <= 1
    assert file["vllm.together.n8"].value > 6
    assert file["vllm.cached"].value == 0
    assert file["vllm.finished_by_length"].value == 1
    assert file["vllm.precision"].value == "float32"
    assert file["vllm.same_answers"].value == 1
    assert file["llamacpp-q4.same_answers"].value == 0
    assert 0 < file["llamacpp-q4.same_beginning"].value < 1


def test_kinds_of_work_have_their_lengths_and_their_best_stack(standard):
    _, file = standard
    lengths = {"rag": (38, 2), "code": (10, 30), "classification": (39, 1)}
    for kind, (prompt, output) in lengths.items():
        assert file[f"prompt_tokens.{kind}"].value == prompt
        assert file[f"output_tokens.{kind}"].value == output
    rate = expected(SUTS["openvino"], 8, 38, 2) / 2
    assert file["openvino.requests.rag.n8"].value == pytest.approx(rate, rel=0.04)
    assert file["best.rag.n8"].value == "openvino"
    assert file["best.chat.n1"].value == "llamacpp"
    assert file["lead.rag.n8"].interval.low > 1
    decision = next(one for one in file.decisions if one.id == "stack-rag")
    assert decision.root.case.least == 8
    assert decision.root.yes.finding == "lead.rag.n8"


def test_the_report_stands(standard):
    root, file = standard
    text = report(root / FOLDER, file)
    assert "best precision" in text
    assert "Which stack? Chat" in text


ALIKE = {"llamacpp": SUTS["vllm"], "vllm": SUTS["vllm"], "openvino": SUTS["vllm"]}


def test_equal_stacks_are_the_same_within_the_margin_and_nothing_is_the_best(tmp_path):
    file = found(tmp_path, ALIKE)
    seen = outcomes(file)
    assert seen["vllm_same_as_llamacpp"] == seen["openvino_same_as_llamacpp"] == "supported"
    assert seen["scaling_differs"] == "inconclusive"
    assert seen["crossover_published"] == "not testable here"
    assert seen["vllm_beats_serial"] == "not testable here"
    best = [f.value for f in file.findings if f.id.startswith("best.")]
    assert best.count("undecided") >= len(best) - 1
    report(tmp_path / FOLDER, file)


FAILED = {
    "llamacpp": SUTS["llamacpp"],
    "vllm": Truth(failing=("agents=8 workload=fixed", "agents=4 workload=fixed")),
    "openvino": Truth(failing=("agents=8 workload=rag",), cached=None),
}


@pytest.mark.parametrize(
    ("suts", "depth"),
    [
        ({"vllm": SUTS["vllm"]}, "standard"),
        ({"llamacpp": SUTS["llamacpp"], "vllm": Truth(testable=False)}, "standard"),
        (FAILED, "standard"),
        (FAILED, "quick"),
    ],
    ids=["one stack", "a stack that cannot run here", "failed cells", "quick depth"],
)
def test_what_is_missing_is_said_and_the_report_stands(tmp_path, suts, depth):
    file = found(tmp_path, suts, depth)
    text = report(tmp_path / FOLDER, file)
    if "vllm" in suts and not suts["vllm"].testable:
        assert "no such processor" in text
    if "openvino" in suts:
        assert "vllm.law" not in file
        assert file["openvino.cached"].value is None
        assert "openvino.requests.rag.n8" not in file
    if depth == "quick":
        assert not file.verdicts


def test_lengths_are_the_shares_of_the_source():
    step = find(REPOSITORY)["tr130"].step("measure")
    design = find(REPOSITORY)["tr130"].design
    effort = step.Effort.model_validate(design.plan("full").effort)
    assert step.lengths(effort, "fixed") == (128, 64)
    assert step.lengths(effort, "rag") == (190, 10)
    assert step.lengths(effort, "classification") == (198, 2)


def decide(root: Path, *words: str) -> int:
    case = ["--machine", MACHINE, "--root", str(root)]
    return cli.main(["decide", "stack", *words, *case])


@pytest.fixture(scope="module")
def committed(standard):
    root, file = standard
    shutil.copytree(REPOSITORY / "config", root / "config")
    return root, file


def test_decide_names_the_best_stack_and_what_it_rests_on(committed, capsys):
    root, _ = committed
    assert decide(root, "--workload", "rag", "--agents", "8") == 0
    shown = capsys.readouterr().out
    assert "=> Use openvino." in shown
    assert "tr130.lead.rag.n8" in shown
    assert decide(root, "--workload", "rag", "--agents", "4", "--slo-p95", "5s", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["best"] == "openvino"
    assert [step["answer"] for step in answer["steps"]] == [False, True, True]
    assert answer["steps"][-1]["finding"]["finding"] == "tr130.lead.rag.n4"
    assert {row["slo"] for row in answer["stacks"]} == {"met"}


def test_decide_keeps_the_limit_to_the_latency(committed, capsys):
    root, file = committed
    tail = file["openvino.latency_p95.rag.n1"].interval
    assert tail.low > file["llamacpp.latency_p95.rag.n1"].interval.high
    limit = f"{tail.low * 1000 - 1:.0f}ms"
    assert decide(root, "--workload", "rag", "--agents", "1", "--slo-p95", limit, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["best"] == "llamacpp"
    assert "llamacpp is the only one that does not miss the limit" in answer["notes"]
    assert decide(root, "--workload", "rag", "--agents", "1", "--slo-p95", "1ms") == 0
    assert "None: no measured stack keeps p95" in capsys.readouterr().out


def test_decide_says_what_is_open_or_not_measured(committed, capsys):
    root, file = committed
    assert file["best.code.n8"].value == "undecided"
    assert decide(root, "--workload", "code", "--agents", "12") == 0
    shown = capsys.readouterr().out
    assert "Undecided between" in shown
    assert "beyond what was measured: the answer is that of N = 8" in shown
    assert decide(root, "--workload", "rag", "--agents", "3") == 0
    assert "N = 3 was not measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workload", "poetry", "--agents", "4"], "it has: rag, summarization, chat"),
        (["--workload", "rag", "--agents", "0"], "the fewest that were measured are 1"),
    ],
)
def test_decide_refuses_what_it_does_not_know(committed, capsys, words, message):
    assert decide(committed[0], *words) == 1
    assert message in capsys.readouterr().err


def test_decide_says_which_report_would_tell(committed, capsys):
    root, _ = committed
    words = ["--workload", "rag", "--agents", "4", "--root", str(root)]
    assert cli.main(["decide", "stack", *words, "--machine", "another-1c-1g-000000"]) == 1
    message = capsys.readouterr().err
    assert "snakemake reports/tr130.md" in message
    assert f"{MACHINE} (standard)" in message
