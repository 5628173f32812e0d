import asyncio
import json
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from live_agents import CALL_S, TOKENS, Live, N, prompts

from inferometer.errors import UserError
from inferometer.profilers import kineto
from inferometer.stacks.transformers_agents import HOST
from inferometer.stacks.worker import WorkerGone

pytestmark = pytest.mark.slow  # each control is a start of torch, or several
CONTROLS = ["serial", "threads", "continuous", "batch", "processes"]
MIB = 2**20

IN_PIECES = """
import json, sys, pathlib, torch
hosts, model, folder, prompts = sys.argv[1:]
sys.path.insert(0, hosts)
import transformers_agents_continuous
from transformers_agents_controls import Serial
from transformers_agents_run import OneProcess
from transformers_model import load
transformers_agents_continuous.MOST_TOKENS_OF_A_STEP = 64
options = dict(device="cpu", dtype="float32", attention="sdpa", model=model)
answers = []
for control in (Serial, transformers_agents_continuous.Continuous):
    made = control(load(options), options)
    runs = OneProcess(made, torch.device("cpu"), pathlib.Path(folder))
    answers.append(runs.run(json.loads(prompts), 8, True))
made._drop()
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def worker(python, tiny, tmp_path_factory):
    """Workers by control, each started once."""
    found: dict[str, Live] = {}
    with ExitStack() as stack:

        def get(control: str) -> Live:
            if control not in found:
                log = tmp_path_factory.mktemp(control) / "log"
                live = Live(python, tiny, log, control=control, threads=2)
                found[control] = stack.enter_context(live)
            return found[control]

        yield get


def test_what_was_set_is_read_back(worker):
    seen = worker("serial").server.read_back
    assert (seen["control"], seen["device"], seen["dtype"]) == ("serial", "cpu", "float32")
    assert (seen["attention"], seen["threads"], seen["layers"]) == ("sdpa", 2, 3)
    assert seen["max_agents"] is None
    assert worker("continuous").server.read_back["attention"] == "sdpa"
    assert worker("threads").server.read_back["max_agents"] == 64


@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_makes_the_tokens_of_the_serial_one(worker, control):
    expected = [each["output_ids"] for each in worker("serial").run()["sequences"]]
    answer = worker(control).run()
    assert (answer["status"], answer["error"]) == ("ok", None)
    assert [each["output_ids"] for each in answer["sequences"]] == expected
    assert [each["agent"] for each in answer["sequences"]] == list(range(N))
    # the model's end-of-sequence token ends nothing
    assert {each["tokens"] for each in answer["sequences"]} == {TOKENS}


@pytest.mark.parametrize("control", CONTROLS)
def test_the_forwards_are_those_of_the_control(worker, control):
    answer = worker(control).run()
    together = control in ("batch", "continuous")
    expected = {str(N): TOKENS} if together else {"1": N * TOKENS}
    assert answer["batch_sizes"] == expected
    assert answer["steps"] == sum(expected.values())


@pytest.mark.parametrize("control", CONTROLS)
def test_times_count_from_the_release_of_all(worker, control):
    live = worker(control)
    live.run()
    begun = time.monotonic() - live.origin
    answer = live.run()
    ended = time.monotonic() - live.origin
    start, end = answer["started_s"], answer["started_s"] + answer["wall_s"]
    assert begun <= start < end <= ended
    assert max(each["ended_s"] for each in answer["sequences"]) == pytest.approx(end)
    for each in answer["sequences"]:
        assert start <= each["started_s"] < start + each["ttft_s"] < each["ended_s"]
    starts = [each["started_s"] for each in answer["sequences"]]
    ends = [each["ended_s"] for each in answer["sequences"]]
    if control == "serial":
        assert all(a <= b for a, b in zip(ends, starts[1:], strict=False))
    if control in ("batch", "continuous"):
        assert max(ends) - min(ends) < 0.5 * answer["wall_s"]


@pytest.mark.parametrize("control", CONTROLS)
def test_a_trace_holds_every_thread_and_process(worker, control):
    live = worker(control)
    live.run()
    answer = live.run(profile=True)
    assert answer["status"] == "ok"
    assert len(answer["traces"]) == (N if control == "processes" else 1)
    working, phases = set(), Counter()
    for path in map(Path, answer["traces"]):
        table = kineto.read_trace(path, require=["operator", "range"])
        rows = table.rows
        path.unlink()
        working |= set(rows.stream[(rows.kind == "operator") & rows.phase.notna()])
        phases += Counter(rows.name[(rows.kind == "range") & rows.phase.notna()])
        run = rows[rows.name == "run"]
        assert len(run) == 1
        work = rows[rows.kind == "operator"]
        inside = (work.start_ns >= run.start_ns.iloc[0]) & (work.end_ns <= run.end_ns.iloc[0])
        # the loop of continuous batching runs on for a moment: it looks for more requests
        assert inside.mean() > 0.98 if control == "continuous" else inside.all()
    assert len(working) == (N if control in ("threads", "processes") else 1)
    made = 1 if control in ("batch", "continuous") else N
    assert phases == {"phase/prefill": made, "phase/decode": made * (TOKENS - 1)}


@pytest.mark.parametrize("control", CONTROLS)
def test_without_profile_no_trace_is_written(worker, control):
    live = worker(control)
    assert live.run()["traces"] == []
    folders = list(live.log.parent.glob("*/inferometer-traces-*"))
    assert [list(folder.iterdir()) for folder in folders] == [[]]


def test_the_folder_of_traces_goes_with_the_worker(python, tiny, tmp_path):
    with Live(python, tiny, tmp_path / "log", control="serial", threads=1) as live:
        (trace,) = map(Path, live.run(profile=True)["traces"])
        assert trace.is_file()
    assert not list(tmp_path.glob("inferometer-*"))
    with (
        pytest.raises(UserError, match=r"cannot be run"),
        Live(python, tmp_path / "no model", tmp_path / "log", control="serial", threads=1),
    ):
        pass
    assert not list(tmp_path.glob("inferometer-*"))


@pytest.mark.parametrize("control", CONTROLS)
def test_runs_of_other_sizes_need_no_new_worker(worker, control):
    live = worker(control)
    for agents in (1, 4, 2):
        answer = live.run(agents=agents, length=10 * agents)
        assert answer["status"] == "ok"
        assert len(answer["sequences"]) == agents
        largest = agents if control in ("batch", "continuous") else 1
        assert set(answer["batch_sizes"]) == {str(largest)}


def test_processes_are_kept_and_counted(worker):
    live = worker("processes")
    assert live.server.read_back["max_agents"] > 4
    for agents in (2, 4, 1):
        assert live.run(agents=agents)["status"] == "ok"
    assert len(live.agents()) == 4


@pytest.mark.parametrize("control", ["threads", "continuous", "processes"])
def test_prompts_may_differ_in_length(worker, control):
    mixed = [prompts(1, 5)[0], prompts(1, 40)[0]]
    made = []
    for live in (worker("serial"), worker(control)):
        answer = live.runner.run(live.client.run(mixed, TOKENS))
        made.append([each["output_ids"] for each in answer["sequences"]])
    assert made[0] == made[1]


def test_a_batch_pads_no_prompt(worker):
    live = worker("batch")
    with pytest.raises(UserError, match="differ in length"):
        live.runner.run(live.client.run([[1], [1, 2]], TOKENS))


def test_a_step_of_prefill_and_decode_is_mixed(python, tiny, tmp_path):
    """Prompts of 50 tokens, a step of at most 64: the first decodes while others are prefilled."""
    script = [str(python), "-c", IN_PIECES, str(HOST.parent), str(tiny), str(tmp_path)]
    done = subprocess.run(
        [*script, json.dumps(prompts(4, 50))], check=True, capture_output=True, timeout=100
    )
    serial, continuous = json.loads(done.stdout)
    assert continuous["error"] is None
    made = [[each["output_ids"] for each in run["sequences"]] for run in (serial, continuous)]
    assert made[0] == made[1]
    assert len(continuous["batch_sizes"]) > 1
    rows = kineto.read_trace(Path(continuous["traces"][0])).rows
    assert set(rows.phase.dropna()) == {"prefill", "mixed", "decode"}
    ttft = [each["ttft_s"] for each in continuous["sequences"]]
    assert ttft == sorted(ttft)
    assert ttft[0] < ttft[-1]


def test_a_process_that_dies_is_an_error_and_the_next_run_is_whole(worker):
    live = worker("processes")
    live.run()

    async def killed_on_the_way():
        doing = asyncio.create_task(live.client.run(prompts(N), 3000))
        await asyncio.sleep(0.5)
        live.agents()[1].kill()
        return await doing

    answer = live.runner.run(killed_on_the_way())
    assert (answer["status"], answer["sequences"], answer["traces"]) == ("error", [], [])
    assert "agent 1 ended by SIGKILL" in answer["error"]
    assert live.run()["status"] == "ok"


@pytest.mark.parametrize("control", CONTROLS)
def test_memory_that_runs_out_is_an_answer(worker, control):
    live = worker(control)
    live.run()
    targets = [live.process(), *live.agents()]
    for target in targets:
        target.rlimit(psutil.RLIMIT_DATA, (_data_bytes(target) + 8 * MIB, -1))
    answer = live.run(agents=N, length=4000)
    for target in targets:
        if target.is_running():
            target.rlimit(psutil.RLIMIT_DATA, (-1, -1))
    assert answer["status"] == "oom", answer["error"]
    assert live.run()["status"] == "ok"


def _data_bytes(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"prompts": [], "output_tokens": 2}, "not a list of lists"),
        ({"prompts": [[1], []], "output_tokens": 2}, "not a list of token ids"),
        ({"prompts": [[1], [512]], "output_tokens": 2}, "vocabulary of 512"),
        ({"prompts": [[1]], "output_tokens": 0}, "at least 1"),
        ({"prompts": [[1] * 4000], "output_tokens": 97}, "context of 4096"),
        ({"prompts": [[1]], "output_tokens": 2, "profile": "yes"}, "true or false"),
        ({"prompts": [[1]], "output_tokens": 2, "n": 1}, "unknown key n"),
        ({"prompts": [[1]] * 65, "output_tokens": 2}, "at most 64"),
    ],
)
def test_requests_that_cannot_be_served_are_refused(worker, body, says):
    live = worker("threads")
    with pytest.raises(UserError, match=says):
        live.runner.run(live.client._post("/run", body, CALL_S))


def test_nothing_outlives_a_worker_that_is_killed(python, tiny, tmp_path):
    with Live(python, tiny, tmp_path / "log", control="processes", threads=1) as live:
        live.run(agents=2)
        children = live.process().children(recursive=True)
        assert len(live.agents()) == 2
        live.process().kill()
        with pytest.raises(WorkerGone, match="SIGKILL"):
            live.run(agents=2)
        _, left = psutil.wait_procs(children, timeout=5)
        assert not left
