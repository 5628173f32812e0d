"""The parts of the vLLM stack that need no server."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from inferometer.design import validated
from inferometer.errors import UserError
from inferometer.profilers import kineto
from inferometer.stacks.vllm import Vllm, VllmDialect, VllmSettings
from inferometer.stacks.vllm_trace import label_phases, step_of

SETTINGS = VllmSettings(max_sequences=2, context=64, device="cpu")


def chunk(**content: Any) -> bytes:
    return json.dumps({"choices": [], **content}).encode()


def test_every_choice_is_a_token_even_the_last_without_text() -> None:
    dialect = VllmDialect()
    for text, finish in (("a", None), ("", None), ("", "length")):
        choice = {"index": 0, "text": text, "finish_reason": finish}
        event = dialect.read_event(chunk(choices=[choice]))
        assert event is not None
        assert event.carries_token
        assert event.finish_reason == finish


def test_the_servers_own_times_are_queue_prefill_and_decode() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    metrics = {"queue_time_ms": 1, "time_to_first_token_ms": 20.0, "generation_time_ms": 300.0}
    event = VllmDialect().read_event(chunk(usage=usage, metrics=metrics))
    assert event is not None
    assert event.timings is not None
    assert not event.carries_token
    assert (event.timings.queue_s, event.timings.prefill_s, event.timings.decode_s) == (
        0.001,
        0.02,
        0.3,
    )
    silent = VllmDialect().read_event(chunk(usage=usage))
    assert silent is not None
    assert silent.timings is None


def test_a_gguf_file_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.touch()
    with pytest.raises(UserError, match=r"model\.gguf is no Hugging Face folder"):
        Vllm().launch(SETTINGS, file, Path("/env/bin/python"), 1)


def test_the_command_line_says_everything(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    settings = VllmSettings(max_sequences=3, context=64, device="cpu", threads=2, kv_cache_gib=0.5)
    command = Vllm().launch(settings, tmp_path, Path("/env/bin/python"), 4711).command
    assert command[0] == "env"
    assert {"OMP_NUM_THREADS=2", "HF_HUB_OFFLINE=1"} <= set(command)
    text = " ".join(command)
    for part in ("--max-num-seqs 3", f"--kv-cache-memory-bytes {2**29}", "--skip-tokenizer-init"):
        assert part in text
    assert "--no-enable-prefix-caching" in command
    assert "--profiler-config" not in command
    (tmp_path / "tokenizer.json").touch()
    command = Vllm().launch(settings, tmp_path, Path("/env/bin/python"), 4711).command
    assert "--skip-tokenizer-init" not in command


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(UserError, match="slots: unknown key; known: max_sequences"):
        validated(VllmSettings, {"max_sequences": 1, "context": 64, "slots": 1}, "suts.x: settings")


def event(name: str, category: str, start: float, duration: float) -> dict[str, Any]:
    return {
        "ph": "X", "cat": category, "name": name, "pid": 1, "tid": 1, "ts": start, "dur": duration,
        "args": {},
    }  # fmt: skip


def test_steps_become_phases_and_stay_readable(tmp_path: Path) -> None:
    steps = {
        "execute_context_2(48)_generation_0(0)": "prefill",
        "execute_context_1(24)_generation_1(1)": "mixed",
        "execute_7_context_0(sq0sk0sqsq0sqsk0)_generation_2(sq2sk9sqsq2sqsk9)": "decode",
        "execute_context_0(0)_generation_0(0)": None,
        "something else": None,
    }
    events = []
    for number, name in enumerate(steps):
        events += [
            event(name, "user_annotation", 100.0 * number, 50),
            event(f"aten::add{number}", "cpu_op", 100.0 * number + 10, 20),
        ]
    trace = tmp_path / "a.pt.trace.json.gz"
    content = {"schemaVersion": 1, "baseTimeNanoseconds": 0, "traceEvents": events}
    trace.write_bytes(gzip.compress(json.dumps(content).encode()))
    label_phases(trace)
    rows = kineto.read_trace(trace, require=("operator",)).rows
    operators = rows[rows["kind"] == "operator"].sort_values("start_ns")
    phases = [None if phase != phase else phase for phase in operators["phase"].astype(object)]
    assert phases == list(steps.values())
    assert set(steps) <= set(rows["name"])  # vLLM's own ranges stay
    assert [step_of(name) for name in steps] == [(2, 0), (1, 1), (0, 2), (0, 0), None]
