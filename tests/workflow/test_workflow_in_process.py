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
    planned = report(fresh, "-n")
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
