import asyncio
import json
import random
import re
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from inferometer.errors import UserError
from inferometer.stacks.server import free_port, running
from inferometer.stacks.transformers import Transformers, TransformersSettings
from inferometer.stacks.worker import WorkerClient, WorkerGone, WorkerTimeout

READY_S, CALL_S = 120, 240
KV_HEADS, HEAD_DIM, LAYERS = 2, 16, 3


class Live:
    """A real worker and its client, driven from plain functions."""

    def __init__(self, settings: TransformersSettings, python: Path, model: Path, log: Path):
        self.settings, self.python, self.model, self.log = settings, python, model, log
        self.runner = asyncio.Runner()
        self.contexts = AsyncExitStack()

    def __enter__(self) -> "Live":
        self.runner.__enter__()
        self.origin = time.monotonic()
        try:
            self.run(self._start())
        except BaseException:
            self.runner.close()
            raise
        return self

    async def _start(self) -> None:
        stack = Transformers()
        launch = stack.launch(self.settings, self.model, self.python, free_port())
        served = running(stack, self.settings, launch, self.log, ready_limit_s=READY_S)
        self.server = await self.contexts.enter_async_context(served)
        self.client = await self.contexts.enter_async_context(self.talking(CALL_S))

    def talking(self, timeout_s: float) -> WorkerClient:
        return WorkerClient(self.server.base_url, timeout_s, self.origin, self.server)

    def run(self, work):
        return self.runner.run(work)

    def generate(self, length: int, output_tokens: int, cache: bool = True, seed: int = 1) -> dict:
        return self.run(self.client.generate(ids(length, seed), output_tokens, cache))

    def __exit__(self, *failure: object) -> None:
        self.run(self.contexts.aclose())
        self.runner.__exit__(*failure)


def ids(length: int, seed: int = 1) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(512) for _ in range(length)]


@pytest.fixture(scope="module")
def live(python, tiny, tmp_path_factory):
    settings = TransformersSettings(device="cpu", threads=2)
    with Live(settings, python, tiny, tmp_path_factory.mktemp("live") / "log") as worker:
        yield worker


@pytest.fixture(scope="module")
def capped(python, tiny, tmp_path_factory):
    """Eager attention in bfloat16, a static cache, and a real limit of memory."""
    settings = TransformersSettings(
        device="cpu",
        dtype="bfloat16",
        attention="eager",
        cache="static",
        threads=1,
        memory_limit_mib=1024,
    )
    with Live(settings, python, tiny, tmp_path_factory.mktemp("capped") / "log") as worker:
        yield worker


def test_what_was_set_is_read_back(live, tiny):
    seen = live.server.read_back
    assert (seen["device"], seen["dtype"], seen["attention"]) == ("cpu", "float32", "sdpa")
    assert (seen["threads"], seen["memory_limit_mib"]) == (2, None)
    assert (seen["layers"], seen["heads"], seen["kv_heads"], seen["head_dim"]) == (3, 6, 2, 16)
    assert (seen["hidden"], seen["vocabulary"], seen["context"]) == (96, 512, 16384)
    stored = json.loads((tiny / "config.json").read_text())
    assert stored["tie_word_embeddings"] is False
    # one step reads all weights but the token embedding
    assert seen["weight_bytes"] == 4 * seen["parameters"]
    assert seen["weight_bytes"] - seen["decode_weight_bytes"] == 512 * 96 * 4
    assert seen["weight_bytes"] < seen["loaded_bytes"] < seen["capacity_bytes"]


def test_log_probs_need_a_tokenizer(live):
    for asked in (live.client.log_probs([("a", " b")]), live.client.text_log_probs("a b c")):
        with pytest.raises(UserError, match="tokenizer"):
            live.run(asked)
    assert live.run(live.client.generate([1, 2], 2))["parts"]


def test_the_phases_are_apart_and_add_up(live):
    begun = time.monotonic() - live.origin
    answer = live.generate(100, 20)
    ended = time.monotonic() - live.origin
    prefill, decode = answer["parts"]
    assert len(answer["output_ids"]) == 20
    assert (prefill["part"], prefill["tokens"]) == ("prefill", 100)
    assert (decode["part"], decode["tokens"], len(decode["step_s"])) == ("decode", 19, 19)
    assert sum(decode["step_s"]) == pytest.approx(decode["wall_s"])
    assert begun <= prefill["started_s"]
    assert prefill["started_s"] + prefill["wall_s"] <= decode["started_s"]
    assert decode["started_s"] + decode["wall_s"] <= ended
    for part, held in ((prefill, 100), (decode, 119)):
        assert part["status"] == "ok"
        assert part["kv_bytes"] == 2 * LAYERS * KV_HEADS * HEAD_DIM * 4 * held
        assert 0 < part["base_bytes"] <= part["peak_bytes"]


def test_one_token_is_prefill_alone(live):
    answer = live.generate(10, 1)
    assert [part["part"] for part in answer["parts"]] == ["prefill"]
    assert len(answer["output_ids"]) == 1


def test_the_cache_changes_no_token(live):
    cached, uncached = live.generate(40, 24), live.generate(40, 24, cache=False)
    assert cached["output_ids"] == uncached["output_ids"]
    assert len(set(cached["output_ids"])) > 1
    assert [part["kv_bytes"] for part in uncached["parts"]] == [0, 0]
    assert live.generate(40, 24)["output_ids"] == cached["output_ids"]
    assert live.generate(40, 24, seed=2)["output_ids"] != cached["output_ids"]


def test_the_peak_of_a_phase_is_its_own(live):
    def grown(length: int) -> int:
        prefill, decode = live.generate(length, 3)["parts"]
        assert decode["peak_bytes"] < prefill["peak_bytes"] or length < 1000
        return prefill["peak_bytes"] - prefill["base_bytes"]

    live.generate(4000, 3)  # threads and libraries take their buffers at their first use
    long = grown(4000)
    # at least the inputs of the last feed-forward product, for every token
    assert long > 4000 * 128 * 4
    assert grown(50) < long / 4


def test_a_phase_is_held_for_as_long_as_asked(live):
    for part, per_pass in (("prefill", 30), ("decode", 7)):
        held = live.run(live.client.hold(part, 0.2, ids(30), 8))
        assert held["status"] == "ok", held["error"]
        assert 0.2 <= held["wall_s"] < 2
        assert held["passes"] > 1
        assert held["tokens"] == per_pass * held["passes"]
    idle = live.run(live.client.hold("idle", 0.1, [], 0))
    assert (idle["passes"], idle["tokens"], idle["status"]) == (0, 0, "ok")
    assert 0.1 <= idle["wall_s"] < 1


def test_ceilings_are_rates_of_what_was_moved(live):
    probes = live.run(live.client.ceilings(size_bytes=8_000_000, repetitions=2))
    assert [(p["quantity"], p["repetition"]) for p in probes] == [
        (quantity, repetition)
        for quantity in ("read_bandwidth", "copy_bandwidth", "gemm_flops")
        for repetition in (0, 1)
    ]
    moved = {"read_bandwidth": 8e6, "copy_bandwidth": 16e6, "gemm_flops": 2 * 2048**3}
    for probe in probes:
        assert probe["value"] * probe["wall_s"] == pytest.approx(moved[probe["quantity"]])


def test_requests_that_cannot_be_served_are_refused(live):
    def refused(words: str, work) -> None:
        with pytest.raises(UserError, match=words):
            live.run(work)

    client = live.client
    refused("more than the model's context of 16384", client.generate(ids(16380), 5))
    refused("ids outside the vocabulary of 512", client.generate([512], 5))
    refused("prompt is not a list of token ids", client.generate([], 5))
    refused("output_tokens is 0; it is at least 1", client.generate(ids(5), 0))
    refused("nothing is decoded", client.hold("decode", 1, ids(5), 1))
    refused("part is 'sleep'", client.hold("sleep", 1, ids(5), 1))
    refused("repetitions is 0", client.ceilings(repetitions=0))
    refused(r"arrays of \d+ bytes do not fit", client.ceilings(size_bytes=10**15, repetitions=1))
    refused("unknown key temperature", client._post("/generate", {"temperature": 1}, 10))
    refused("no such path", client._post("/completions", {}, 10))
    assert live.generate(5, 2)["parts"][0]["status"] == "ok"


def test_a_call_beyond_its_limit_is_a_timeout(live):
    async def hasty() -> None:
        async with live.talking(0.05) as client:
            await client.generate(ids(3000), 200)

    with pytest.raises(WorkerTimeout, match=r"/generate took longer than 0\.05 s"):
        live.run(hasty())


def test_bfloat16_runs_and_a_static_cache_has_its_length_from_the_start(capped):
    answer = capped.generate(50, 10)
    assert [part["status"] for part in answer["parts"]] == ["ok", "ok"]
    expected = 2 * LAYERS * KV_HEADS * HEAD_DIM * 2 * 59
    assert [part["kv_bytes"] for part in answer["parts"]] == [expected, expected]
    held = capped.run(capped.client.hold("decode", 0.2, ids(30), 8))
    assert (held["status"], held["tokens"]) == ("ok", 7 * held["passes"])


def test_memory_that_runs_out_is_a_record_and_the_worker_lives_on(capped):
    assert capped.server.read_back["memory_limit_mib"] == 1024
    assert capped.server.read_back["capacity_bytes"] <= 1024 * 2**20
    (prefill,) = capped.generate(12000, 4)["parts"]
    assert (prefill["part"], prefill["status"]) == ("prefill", "oom")
    assert "memory" in prefill["error"]
    assert prefill["wall_s"] > 0
    window = capped.run(capped.client.hold("prefill", 0.1, ids(12000), 1))
    assert (window["status"], window["tokens"]) == ("oom", 0)
    again = capped.generate(200, 4)
    assert [part["status"] for part in again["parts"]] == ["ok", "ok"]


def test_a_killed_worker_is_gone_with_its_signal(capped):
    """Last of all: it takes the capped worker with it."""

    async def kill() -> None:
        calling = asyncio.create_task(capped.client.hold("idle", 30, [], 0))
        await asyncio.sleep(0.3)
        guard = psutil.Process(capped.server.guard.pid)
        (worker,) = guard.children()
        worker.kill()
        await calling

    with pytest.raises(WorkerGone, match="was killed by SIGKILL"):
        capped.run(kill())
    assert not capped.server.alive()
    with pytest.raises(WorkerGone, match="was killed by SIGKILL"):
        capped.generate(5, 2)


def failing_start(settings: TransformersSettings, python: Path, model: Path, log: Path) -> None:
    with Live(settings, python, model, log):
        pass


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_says_why(python, tiny, tmp_path):
    log = tmp_path / "log"
    with pytest.raises(UserError, match="nowhere cannot be run"):
        failing_start(TransformersSettings(device="cpu"), python, tmp_path / "nowhere", log)
    with pytest.raises(UserError, match="sees no CUDA device"):
        failing_start(TransformersSettings(device="cuda"), python, tiny, log)
    short = TransformersSettings(device="cpu", attention="flash_attention_2")
    with pytest.raises(UserError, match="cannot be run"):
        failing_start(short, python, tiny, log)


COUNTS = (
    *("graphs_compiled", "recompiles", "graph_breaks", "cudagraph_skips", "cudagraphs_recorded"),
    *("kernels_generated", "compile_s"),
)


def test_eager_parts_say_nothing_of_a_compiler(live):
    for part in live.generate(10, 3)["parts"]:
        assert not part.keys() & {*COUNTS, "compiled_in_region"}


@pytest.mark.slow
def test_what_is_compiled_is_counted_and_changes_no_token(python, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    settings = TransformersSettings(device="cpu", compile="reduce-overhead", threads=1)
    with Live(settings, python, tiny, tmp_path / "log") as compiled:
        first, again, other = (compiled.generate(length, 5) for length in (20, 20, 33))
        assert list(tmp_path.glob("*/inferometer-compile-*/inductor/*"))
        prefill, decode = first["parts"]
        assert prefill["compiled_in_region"] is decode["compiled_in_region"] is True
        assert (prefill["graphs_compiled"], prefill["recompiles"]) == (1, 0)
        assert decode["graphs_compiled"] == decode["recompiles"] >= 1
        assert "recompiled: " in decode["compile_reasons"]
        for part in (prefill, decode):
            assert part["kernels_generated"] > 0
            assert 0 < part["compile_s"] < part["wall_s"]
            assert part["graph_breaks"] == part["cudagraphs_recorded"] == 0
        # CUDA graphs were asked for, and there is no CUDA: torch leaves them out
        assert prefill["cudagraph_skips"] == 1
        assert re.search(r"CUDA graph skipped: \w+", prefill["compile_reasons"])
        for part in [*again["parts"], *other["parts"]]:
            assert [part[name] for name in COUNTS] == [0] * len(COUNTS)
            assert part["compiled_in_region"] is False
        # a length of 1 is never dynamic: this prefill is compiled anew while it is timed
        (alone,) = compiled.generate(1, 1)["parts"]
        assert alone["compiled_in_region"] is True
        assert alone["recompiles"] == 1
    assert not list(tmp_path.glob("inferometer-*"))
    with Live(TransformersSettings(device="cpu"), python, tiny, tmp_path / "log") as plain:
        for length, seen in ((20, first), (33, other)):
            assert plain.generate(length, 5)["output_ids"] == seen["output_ids"]


@pytest.mark.slow
def test_a_compilation_that_fails_is_a_record_with_its_traceback(
    python, tiny, tmp_path, monkeypatch
):
    monkeypatch.setenv("CXX", "/nowhere/c++")
    settings = TransformersSettings(device="cpu", compile="default", threads=1)
    with Live(settings, python, tiny, tmp_path / "log") as compiled:
        (prefill,) = compiled.generate(20, 6)["parts"]
    assert prefill["status"] == "error"
    assert "/nowhere/c++" in prefill["error"].partition("\n")[0]
    assert "cpp_builder.py" in prefill["error"].partition("\n")[2]
