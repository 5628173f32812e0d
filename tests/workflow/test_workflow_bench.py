import json
import time
from itertools import pairwise

import psutil
import pytest
from checkouts import Checkout, make_checkout, server_process, until


def intervals(*checkouts: Checkout) -> list[tuple[float, float]]:
    """When each session held the bench, on the clock that all processes share."""
    found = []
    for checkout in checkouts:
        for path in checkout.raw_files("*/*.manifest.json"):
            readings = json.loads(path.read_text())["readings"]
            found.append(tuple(readings[moment]["monotonic_s"] for moment in ("before", "after")))
    return sorted(found)


def overlap(spans: list[tuple[float, float]]) -> bool:
    return any(first[1] > second[0] for first, second in pairwise(spans))


@pytest.mark.slow
def test_no_command_line_lifts_the_bench(checkout):
    def shrink(design):
        quick = design["depths"]["quick"]
        quick.update(blocks=1, phases={"scaling": {"agents": [1, 2], "think_ms": [0]}})

    checkout.change_design(shrink)
    words = ("--cores", "4", "--resources", "bench=4", "--until", "measure")
    done = checkout.report(*words)
    assert done.rc == 0, done.text
    assert len(intervals(checkout)) == 2
    assert not overlap(intervals(checkout))


@pytest.mark.slow
def test_two_workflows_at_once_never_overlap(checkout, environments_folder):
    other = make_checkout(checkout.root.with_name("other"), environments_folder)
    command = ("snakemake", "reports/tr129.md", "--config", "depth=quick")
    both = [one.start(*command) for one in (checkout, other)]
    try:
        for running in both:
            done = running.wait(280)
            assert done.rc == 0, done.text
    finally:
        other.end()
    spans = intervals(checkout, other)
    assert len(spans) == 8
    assert not overlap(spans)
    assert any("waiting for the bench" in running.text for running in both)


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped_and_counts_what_it_left(checkout):
    running = checkout.start("snakemake", "reports/tr129.md", "--config", "depth=quick")
    assert until(lambda: len(checkout.raw_files("*/[0-9]*.manifest.json")) == 1, 90), running.text
    (first,) = checkout.raw_files("*/[0-9]*.manifest.json")
    before = first.read_bytes()
    assert until(lambda: any(p.stat().st_size for p in checkout.raw_files("*/aborted/*.jsonl")))
    worker = next(p for p in running.family() if "measure" in p.cmdline())
    worker.kill()
    assert running.wait().rc != 0
    assert checkout.no_server_left()
    kept = checkout.raw_files("*/aborted/*.jsonl")
    assert len(kept) == 1
    partial = kept[0].read_bytes()
    done = checkout.report()
    assert done.rc == 0, done.text
    assert first.read_bytes() == before
    assert kept[0].read_bytes() == partial
    report = (checkout.root / "reports" / "tr129.md").read_text()
    assert "[1](tr129.evidence.md#set-aside) aborted" in report
    audit = checkout.inferometer("audit")
    assert audit.rc == 0, audit.text


@pytest.mark.slow
def test_evidence_that_is_measured_again_is_kept(measured):
    old = {p.parent.name: p.read_bytes() for p in measured.raw_files("*/00.jsonl")}

    def change(design):
        design["suts"]["llamacpp-serial"]["settings"]["context_per_slot"] = 1024

    measured.change_design(change)
    done = measured.report()
    assert done.rc == 0, done.text
    kept = measured.raw_files("llamacpp-serial/superseded/*.jsonl")
    assert len(kept) == 2
    assert old["llamacpp-serial"] in [path.read_bytes() for path in kept]
    assert measured.raw_files("llamacpp-batch8/superseded/*") == []
    assert measured.raw_files("llamacpp-batch8/00.jsonl")[0].read_bytes() == old["llamacpp-batch8"]
    audit = measured.inferometer("audit")
    assert audit.rc == 0, audit.text
    assert measured.planned() == {}


@pytest.mark.slow
def test_the_workflow_sleeps_while_a_session_measures(checkout):
    """Its scheduler must not take the processor from what is measured (common.smk says why)."""
    running = checkout.start("snakemake", "reports/tr129.md", "--config", "depth=quick")
    assert until(lambda: len(checkout.raw_files("*/[0-9]*.jsonl")) >= 2, 120)
    assert until(lambda: server_process(checkout), 60)
    workflow = psutil.Process(running.process.pid)

    def woken() -> int:
        return workflow.num_ctx_switches().voluntary

    before = woken()
    time.sleep(3)
    assert running.process.poll() is None, running.text
    assert woken() - before <= 6  # about once a second; by default many times more
    assert running.wait().rc == 0
