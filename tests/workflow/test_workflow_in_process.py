"""TR123 with a real worker, real artifacts and real Snakemake, cut down to a few tokens."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from checkouts import QUIET, REPOSITORY, Checkout, make_checkout, until

from inferometer import environments

pytestmark = pytest.mark.slow
LIMIT_S = 280
SMALL = {
    "blocks": 2,
    "phases": {
        "scenarios": {"scenario": ["8/4", "16/6"], "kv_cache": ["on"]},
        "cache_pair": {"scenario": ["8/4"], "kv_cache": ["on", "off"]},
        "energy": {"scenario": ["16/6"], "energy_part": ["prefill", "decode"]},
    },
    "effort": {
        "repetitions": 2,
        "uncached_repetitions": 1,
        "deadline_s": 60,
        "warmup_tokens": 8,
        "ceiling_repetitions": 2,
        "idle_s": 1,
        "window_s": 2,
    },
}


def small(design: dict) -> None:
    """Two models, few tokens; gates of noise open, because other tests run beside."""
    design["depths"]["quick"] = SMALL
    design["noise"] = QUIET["noise"]
    for name in [name for name in design["suts"] if name not in ("smollm2", "gpt2", "gpt2-gpu")]:
        del design["suts"][name]
    design["hypotheses"] = {
        name: hypothesis
        for name, hypothesis in design["hypotheses"].items()
        if hypothesis.get("sut") in (None, *design["suts"])
    }


def report(checkout: Checkout, *words: str):
    command = ("reports/tr123.md", "--config", "depth=quick")
    return checkout.snakemake(*command, *words, limit_s=LIMIT_S)


@pytest.fixture(scope="module")
def environments_with_torch(environments_folder: Path) -> Path:
    environments.ensure(REPOSITORY, "transformers")
    link = environments_folder / "transformers"
    if not link.exists():
        shutil.copytree(REPOSITORY / ".envs" / "transformers", link, symlinks=True)
    return environments_folder


@pytest.fixture
def fresh(tmp_path: Path, environments_with_torch: Path) -> Iterator[Checkout]:
    made = make_checkout(tmp_path / "checkout", environments_with_torch)
    made.change_design(small, "tr123")
    yield made
    made.end()


def sealed(checkout: Checkout) -> list[dict]:
    paths = sorted(checkout.root.glob("results/*/tr123-quick/raw/*/*.manifest.json"))
    return [json.loads(path.read_text()) for path in paths]


def records(checkout: Checkout, pattern: str) -> list[dict]:
    lines = []
    for path in sorted(checkout.root.glob(f"results/*/tr123-quick/raw/{pattern}")):
        lines += [json.loads(line) for line in path.read_text().splitlines()]
    return lines


def test_the_report_of_a_worker_from_start_to_audit(fresh):
    done = report(fresh)
    assert done.rc == 0, done.text
    assert not done.messages()
    assert len(sealed(fresh)) == 4
    for session in sealed(fresh):
        assert "calibration" not in session
        (server,) = session["servers"]
        assert server["stack"] == "transformers"
        assert server["read_back"]["attention"] == "sdpa"
        assert str(fresh.root) not in json.dumps(session)
    phases = [r for r in records(fresh, "*/[0-9]*.jsonl") if r["kind"] == "phase"]
    assert {(r["part"], r["status"]) for r in phases} == {("prefill", "ok"), ("decode", "ok")}
    checks = [r for r in records(fresh, "*/[0-9]*.jsonl") if r["kind"] == "check"]
    assert checks
    assert all(r["same_output"] for r in checks)
    assert fresh.inferometer("audit").rc == 0
    assert "Nothing to be done" in report(fresh).text

    prices = fresh.root / "config" / "prices.yaml"
    prices.write_text(prices.read_text() + "# another comment\n")
    planned = report(fresh, "-n", "--quiet", "progress")
    assert "rule analyse" in planned.text
    assert "rule measure" not in planned.text

    prices.write_text(prices.read_text().replace("currency:", "curency:", 1))
    broken = report(fresh)
    assert broken.rc != 0
    assert any("config/prices.yaml" in line and "curr" in line for line in broken.messages())


def test_a_worker_that_is_killed_is_a_record_and_the_block_goes_on(fresh):
    running = fresh.start(
        *("inferometer", "measure", "tr123", "--sut", "gpt2", "--block", "0", "--depth", "quick")
    )

    def worker() -> psutil.Process | None:
        found = [p for p in running.family() if "transformers_worker.py" in " ".join(p.cmdline())]
        return next((p for p in found if "guard.py" not in p.cmdline()[1]), None)

    def measuring() -> bool:
        return any(r["kind"] == "phase" for r in records(fresh, "gpt2/aborted/*.jsonl"))

    assert until(measuring, 120)
    os.kill(until(worker).pid, 9)
    done = running.wait(LIMIT_S)
    assert done.rc == 0, done.text
    (session,) = sealed(fresh)
    assert session["lives"] == 2
    gone = [r for r in records(fresh, "gpt2/00.jsonl") if r.get("status") == "gone"]
    assert len(gone) == 1
    assert "SIGKILL" in gone[0]["error"]


def test_a_gpu_that_is_not_there_is_told_before_anything_is_installed(fresh):
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA GPU")
    words = ("measure", "tr123", "--sut", "gpt2-gpu", "--block", "0", "--depth", "quick")
    done = fresh.inferometer(*words)
    assert done.rc == 0, done.text
    (session,) = sealed(fresh)
    assert set(session["not_testable_cells"]) == set(session["cell_order"])
    assert "no" in done.text
    assert not (fresh.root / ".envs" / "transformers-cuda").exists()


def few_contexts(design: dict) -> None:
    """A worker and a server, each under a memory limit, and the server without one."""
    kept = ("smollm2-eager-capped", "llamacpp", "llamacpp-capped")
    design["depths"]["quick"] = {
        "blocks": 2,
        "phases": {
            "served": {"context": [64, 128]},
            "limit_eager": {"context": [64, 2048]},
            "spill": {"context": [128]},
        },
        "only": {
            "served": ["llamacpp"],
            "limit_eager": ["smollm2-eager-capped"],
            "spill": ["llamacpp", "llamacpp-capped"],
        },
        "effort": {"repetitions": 2, "output_tokens": 4, "longest_prompt": 256, "deadline_s": 60},
    }
    for depth in ("standard", "full"):
        design["depths"].pop(depth)
    design["noise"] = QUIET["noise"]
    design["suts"] = {name: design["suts"][name] for name in kept}
    hypotheses = design["hypotheses"].items()
    design["hypotheses"] = {n: h for n, h in hypotheses if h.get("sut") in (None, *kept)}


def test_memory_that_runs_out_is_a_result(fresh):
    fresh.change_design(few_contexts, "tr127")
    command = ("reports/tr127.md", "--config", "depth=quick")
    done = fresh.snakemake(*command, limit_s=LIMIT_S)
    assert done.rc == 0, done.text
    folder = next(fresh.root.glob("results/*/tr127-quick/raw"))
    lines = (folder / "smollm2-eager-capped" / "00.jsonl").read_text().splitlines()
    phases = [r for r in map(json.loads, lines) if r["kind"] == "phase"]
    assert {(r["prompt_tokens"], r["status"]) for r in phases} == {(64, "ok"), (2048, "oom")}
    session = json.loads((folder / "smollm2-eager-capped" / "00.manifest.json").read_text())
    assert session["lives"] == 1  # an allocation that fails ends no process
    capped = json.loads((folder / "llamacpp-capped" / "00.manifest.json").read_text())
    if capped["not_testable_cells"]:
        assert "memory" in next(iter(capped["not_testable_cells"].values()))
    else:
        limit = capped["servers"][0]["read_back"]["memory_limit_bytes"]
        assert limit == 290 * 2**20
    assert fresh.inferometer("audit").rc == 0
