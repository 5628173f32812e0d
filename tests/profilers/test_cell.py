"""Cells of N sequences at once, on stand-ins for a worker and a server that can profile itself."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from profilers import traces

from inferometer.design import Cell, Gates, WarmupRule
from inferometer.errors import NotTestableHere, UserError
from inferometer.profilers import cell, tracing
from inferometer.profilers.cell import ProfileEffort
from inferometer.session import BlockRun, CellRun
from inferometer.stacks.worker import WorkerGone
from inferometer.subjects import InProcess, Served

EFFORT = ProfileEffort(repetitions=2, prompt_tokens=4, output_tokens=3, deadline_s=5)
DESIGN = SimpleNamespace(
    seed=1,
    warmup=WarmupRule(requests=2),
    gates=Gates(failed_fraction=0, client_lag_p99_s=1, think_overrun_p99_s=1),
)


def steps(agents: int) -> list[dict]:
    """A run as Kineto writes it: prefill and two decode steps, one thread an agent."""
    found = []
    for thread in range(agents):
        for number, phase in enumerate(("prefill", "decode", "decode")):
            start = 1000 * number
            common = {"tid": thread + 1}
            found += [
                traces.event("user_annotation", f"phase/{phase}", start, start + 900, **common),
                traces.event("cpu_op", "aten::linear", start + 100, start + 500, **common),
                traces.event("cpu_op", "aten::addmm", start + 200, start + 400, **common),
            ]
    return found


class Worker:
    """Stands in for the client of a worker: answers as the interface says."""

    def __init__(self, folder: Path, **faults) -> None:
        self.folder, self.faults, self.asked = folder, faults, []

    async def run(self, prompts, output_tokens, profile):
        self.asked.append((prompts, output_tokens, profile))
        if self.faults.get("gone"):
            raise WorkerGone("the worker was killed by SIGKILL\nlast words")
        status = self.faults.get("status", "ok")
        if profile and self.faults.get("profile_status"):
            status = self.faults["profile_status"]
        paths = []
        if profile and status == "ok" and not self.faults.get("no_trace"):
            path = traces.kineto(self.folder / "run.json", steps(len(prompts)))
            if cut := self.faults.get("cut"):
                path.write_bytes(path.read_bytes()[:cut])
            paths = [str(path)]
        tokens = self.faults.get("tokens", output_tokens)
        return {
            **{"status": status, "error": None if status == "ok" else "it broke"},
            **{"started_s": 1.0, "wall_s": 2.0, "traces": paths},
            **{"steps": 3 * len(prompts), "batch_sizes": {"1": 3, "3": 1}},
            "sequences": [
                {
                    **{"agent": k, "started_s": 1.0, "ttft_s": 0.1, "ended_s": 2.0},
                    **{"tokens": tokens, "output_ids": [1] * tokens},
                }
                for k in range(len(prompts))
            ],
        }


def worker(folder: Path, **faults) -> InProcess:
    sut = object.__new__(InProcess)
    sut.sut = SimpleNamespace(stack="transformers_agents", artifact="tiny")
    sut.seed, sut.worker = "s", Worker(folder, **faults)
    sut.server = SimpleNamespace(read_back={"vocabulary": 5000, "context": 100})
    return sut


class Client:
    """Stands in for the streaming client of a server."""

    http, base_url = None, "http://127.0.0.1:1"

    def __init__(self, status: str = "ok", cached: int = 0) -> None:
        self.status, self.cached = status, cached

    async def generate(self, request, *, agent, sequence):
        return {
            **{"kind": "request", "agent": agent, "sequence": sequence, "sent_s": 1.0 + agent},
            **{"done_s": 5.0 + agent, "status": self.status, "error": None},
            **{"prompt_tokens_asked": len(request.prompt), "prompt_tokens": len(request.prompt)},
            **{"output_tokens_asked": request.output_tokens, "cached_tokens": self.cached},
            "completion_tokens": request.output_tokens,
        }


class ProfiledStack:
    """Stands in for a stack whose server profiles itself."""

    def __init__(self, folder: Path, error: Exception | None = None) -> None:
        self.folder, self.error = folder, error

    async def start_profile(self, http, base_url):
        if self.error:
            raise self.error

    async def stop_profile(self, http, base_url, settings):
        return [traces.kineto(self.folder / "server.json.gz", steps(1))]


def server(stack, client=None) -> Served:
    sut = object.__new__(Served)
    sut.sut = SimpleNamespace(stack="some", artifact="tiny")
    sut.stack, sut.client = stack, client or Client()
    sut.settings = SimpleNamespace(profiler=True)
    sut.prompts = SimpleNamespace(prompt=lambda length, index: [index] * length)
    return sut


def measured(sut, agents: int = 2, **changed):
    records: list[dict] = []
    level = Cell(phase="scaling", levels={"agents": agents})
    run = CellRun(DESIGN, EFFORT, [sut], records.append, level, 10, **changed)
    outcome = asyncio.run(cell.measure_agents(run, agents=agents, prompt_tokens=4, output_tokens=3))
    return outcome, records


def of(records: list[dict], kind: str) -> list[dict]:
    return [record for record in records if record["kind"] == kind]


def test_a_worker_is_run_in_pairs_and_its_traces_are_read_and_removed(tmp_path):
    sut = worker(tmp_path)
    outcome, records = measured(sut)
    assert (outcome.reasons, outcome.prompts_used, outcome.restart) == ([], 8, False)
    runs = of(records, "run")
    assert sorted((r["repetition"], r["profiled"]) for r in runs) == [
        (0, False), (0, True), (1, False), (1, True)
    ]  # fmt: skip
    assert {r["mean_batch"] for r in runs} == {1.5}
    assert {r["tokens"] for r in runs} == {6}
    prompts = [tuple(ids) for asked, _, _ in sut.worker.asked for ids in asked]
    assert len(set(prompts)) == 8
    assert {len(ids) for ids in prompts} == {4}
    assert len(of(records, "sequence")) == 8
    assert all("output_ids" not in record for record in records)
    assert not list(tmp_path.iterdir())
    everything = [r for r in of(records, "trace") if r["phase_of_work"] == "all"]
    assert [r["repetition"] for r in everything] == [0, 1]
    assert everything[0]["operators"] == 12


def test_short_runs_have_more_unprofiled_twins(tmp_path, monkeypatch):
    """3 tokens of one sequence, 10 wanted: 4 runs; of two sequences: 2."""
    monkeypatch.setattr(f"{__name__}.EFFORT", EFFORT.model_copy(update={"plain_tokens": 10}))
    for agents, plain in ((1, 4), (2, 2), (8, 1)):
        outcome, records = measured(worker(tmp_path), agents=agents)
        profiled = [r["profiled"] for r in of(records, "run")]
        assert (profiled.count(True), profiled.count(False)) == (2, 2 * plain)
        assert outcome.prompts_used == 2 * agents * (1 + plain)


def test_the_order_within_pairs_is_drawn_anew_in_every_block(tmp_path):
    orders = set()
    for block in range(8):
        _, records = measured(worker(tmp_path), block=block)
        orders.add(tuple(r["profiled"] for r in of(records, "run")))
    assert len(orders) > 1


def test_records_of_a_trace_are_what_the_trace_says(tmp_path):
    path = traces.kineto(tmp_path / "t.json", steps(2))
    size = path.stat().st_size
    found = tracing.records_of([path], 2, 3)
    by_phase = {r["phase_of_work"]: r for r in of(found, "trace")}
    decode, whole = by_phase["decode"], by_phase["all"]
    assert set(by_phase) == {"prefill", "decode", "all"}
    assert (by_phase["prefill"]["tokens"], decode["tokens"], whole["tokens"]) == (2, 4, 6)
    assert (decode["operators"], whole["operators"]) == (8, 12)
    assert decode["kernels"] is decode["launches"] is decode["memory_operation_s"] is None
    # two ranges of 900 ns, with 400 ns of operators in each, on both threads at once
    assert decode["window_s"] == pytest.approx(1.8e-6)
    assert decode["busy_s"] == pytest.approx(0.8e-6)
    assert decode["busy_fraction"] == pytest.approx(4 / 9, abs=1e-5)
    assert decode["gap_p50_s"] == pytest.approx(2.5e-7)  # 100 ns before and 400 after the work
    assert decode["max_concurrency"] == 2
    assert whole["window_s"] == pytest.approx(2.9e-6)
    assert whole["trace_bytes"] == size
    operations = {(r["phase_of_work"], r["name"]): r for r in of(found, "operation")}
    linear = operations["decode", "aten::linear"]
    assert (linear["count"], linear["class"]) == (4, "gemm")
    assert linear["self_s"] == pytest.approx(4 * 200e-9)


def test_names_beyond_the_longest_keep_their_class_and_their_time(tmp_path):
    many = [
        traces.event("cpu_op", f"aten::op{k}_norm", 1000 * k, 1000 * k + 100 + k)
        for k in range(tracing.KEPT_NAMES + 5)
    ]
    found = of(tracing.records_of([traces.kineto(tmp_path / "t.json", many)], 1, 2), "operation")
    assert len(found) == tracing.KEPT_NAMES + 1
    (others,) = [r for r in found if r["name"] == tracing.OTHERS]
    assert (others["count"], others["class"]) == (5, "norm")
    total = sum(100 + k for k in range(len(many))) * 1e-9
    assert sum(r["self_s"] for r in found) == pytest.approx(total)


def test_tokens_of_mixed_steps_are_not_divided(tmp_path):
    mixed = [*steps(1), traces.event("user_annotation", "phase/mixed", 5000, 6000)]
    mixed.append(traces.event("cpu_op", "aten::mm", 5100, 5200))
    found = of(tracing.records_of([traces.kineto(tmp_path / "t.json", mixed)], 2, 3), "trace")
    tokens = {r["phase_of_work"]: r["tokens"] for r in found}
    assert tokens == {"prefill": None, "decode": None, "mixed": None, "all": 6}


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"no_trace": True}, "wrote no trace"),
        ({"cut": 200}, "truncated"),
        ({"profile_status": "error"}, "it broke"),
    ],
)
def test_a_profiler_that_fails_leaves_a_reason_and_the_rates(tmp_path, faults, said):
    outcome, records = measured(worker(tmp_path, **faults))
    (missing,) = of(records, "facts")
    assert missing["profiler_missing"] is True
    assert said in missing["error"]
    assert str(tmp_path) not in missing["error"]
    plain = [r for r in of(records, "run") if not r["profiled"]]
    assert [r["status"] for r in plain] == ["ok", "ok"]
    assert not of(records, "trace")
    assert not outcome.reasons
    assert outcome.not_testable is None
    assert not list(tmp_path.iterdir())


def test_an_empty_trace_is_a_reason(tmp_path):
    empty = traces.kineto(tmp_path / "t.json", [])
    with pytest.raises(UserError, match=r"^t\.json: holds no events"):
        tracing.records_of([empty], 1, 1)
    assert not empty.exists()


def test_a_worker_that_ends_gets_a_new_life_and_one_that_fails_ends_the_cell(tmp_path):
    outcome, records = measured(worker(tmp_path, gone=True))
    assert outcome.restart
    (run,) = of(records, "run")
    assert (run["status"], run["error"]) == ("gone", "the worker was killed by SIGKILL")
    outcome, records = measured(worker(tmp_path, status="oom"))
    assert not outcome.restart
    assert [r["status"] for r in of(records, "run") if not r["profiled"]] == ["oom"]


def test_short_sequences_make_the_cell_invalid(tmp_path):
    outcome, _ = measured(worker(tmp_path, tokens=2))
    assert outcome.reasons == ["2 sequences of 3 tokens each did not come"]


def test_more_than_the_model_takes_is_not_testable(tmp_path):
    sut = worker(tmp_path)
    sut.properties["context"] = 6
    outcome, records = measured(sut)
    assert outcome.not_testable == "7 tokens are beyond the model's context of 6"
    assert not records


def test_a_server_without_a_profiler_is_measured_without_one():
    outcome, records = measured(server(SimpleNamespace()))
    (missing,) = of(records, "facts")
    assert "some offers no profiler" in missing["error"]
    runs = of(records, "run")
    assert [(r["profiled"], r["wall_s"]) for r in runs] == [(False, 5.0)] * 2
    assert runs[0]["steps"] is None
    requests = of(records, "request")
    assert [r["agent"] for r in requests] == [0, 1, 0, 1]
    assert {r["repetition"] for r in requests} == {0, 1}
    assert not outcome.reasons


def test_a_server_that_profiles_itself_is_read(tmp_path):
    _, records = measured(server(ProfiledStack(tmp_path)), agents=1)
    assert not of(records, "facts")
    assert len([r for r in of(records, "trace") if r["phase_of_work"] == "all"]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [UserError("no profiler"), NotTestableHere("no permission")])
def test_a_server_that_may_not_be_profiled_says_why(tmp_path, error):
    _, records = measured(server(ProfiledStack(tmp_path, error)))
    assert [r["error"] for r in of(records, "facts")] == [str(error)]
    assert [r["status"] for r in of(records, "run") if not r["profiled"]] == ["ok", "ok"]


def test_answers_from_a_cache_and_broken_requests():
    outcome, _ = measured(server(SimpleNamespace(), Client(cached=3)))
    assert outcome.reasons == ["a unique prompt was answered from a cache"]
    outcome, records = measured(server(SimpleNamespace(), Client(status="disconnected")))
    assert outcome.restart
    assert of(records, "run")[0]["status"] == "disconnected"


def test_warm_up_runs_the_declared_number_at_once_then_the_profiler(tmp_path):
    sut, records = worker(tmp_path), []
    used = asyncio.run(cell.warm_up(BlockRun(DESIGN, EFFORT, [sut], records.append)))
    assert used == 3
    assert [(len(p), profile) for p, _, profile in sut.worker.asked] == [(2, False), (1, True)]
    assert [r["kind"] for r in records] == ["warmup", "warmup"]
    assert not list(tmp_path.iterdir())
    broken = BlockRun(DESIGN, EFFORT, [worker(tmp_path, gone=True)], records.append)
    with pytest.raises(UserError, match="warming up: the worker was killed"):
        asyncio.run(cell.warm_up(broken))
