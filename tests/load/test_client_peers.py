"""The benchmark that sets our client beside others, on exports that those have really written.

`fixtures/peers` holds runs of 3 or 4 requests at a calibration server, each with the server's log;
of guidellm's and vLLM's files the parts that no test reads are left out.
"""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from inferometer.errors import UserError
from inferometer.load import schedules

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from peers import clients, comparison, reported, running  # noqa: E402
from peers.figures import Figures, figures, paired  # noqa: E402

FIXTURES = Path(__file__).parent / "fixtures" / "peers"
FOLDERS = {"ours": "ours", "aiperf": "aiperf", "guidellm": "guidellm", "vLLM bench": "vllm"}


def recorded(client: clients.Client) -> running.Outcome:
    folder = FIXTURES / FOLDERS[client.name]
    log = json.loads((folder / "log.json").read_text())
    served = [running.Served(**row) for row in log["served"]]
    cpu = [tuple(sample) for sample in log["cpu_at_s"]]
    return running.Outcome(client.read(folder), served, cpu, log["wall_ahead_s"], 1.0)


@pytest.mark.parametrize("client", clients.CLIENTS, ids=lambda client: client.name)
def test_recorded_exports_are_read_and_paired(client):
    outcome = recorded(client)
    requests = outcome.reported.requests
    assert len(requests) >= 3
    assert [each.start_s for each in requests] == sorted(each.start_s for each in requests)
    ahead_s = outcome.wall_ahead_s if outcome.reported.wall_clock else 0
    for request, served in paired(outcome.reported, outcome.served):
        assert len(served.written_s) == 64
        # sent before it arrived, the first token read after it was written
        assert -0.002 < served.arrived_s - (request.start_s - ahead_s) < 0.2
        assert 0.05 < request.ttft_s < 0.25
        assert request.mean_gap_s == pytest.approx(0.005, abs=0.001)
        if request.gaps_s is not None:
            assert len(request.gaps_s) == 63
    assert outcome.reported.tokens_per_s > 100


@pytest.mark.parametrize("client", clients.CLIENTS, ids=lambda client: client.name)
def test_figures_of_recorded_exports(client):
    outcome = recorded(client)
    outcome = replace(outcome, cpu_at_s=[(0.0, 0.0), (1e6, 1e4)])  # a hundredth of a core
    expected = len(outcome.reported.requests)
    found = figures(outcome, 0, expected)
    assert -1e-3 < found.ttft_p50_s < 0.2
    assert found.ttft_p50_s <= found.ttft_p99_s
    assert (found.gap_p99_s is None) == (client.name == "guidellm") == (found.stamp_p99_s is None)
    seconds = max(each.written_s[-1] for each in outcome.served[-expected:])
    seconds -= outcome.served[-expected].arrived_s
    assert found.cpu_s_per_1000_tokens == pytest.approx(0.01 * seconds / (expected * 0.064))
    with pytest.raises(UserError, match="requests were reported as good"):
        figures(outcome, 0, expected + 1)


def test_errors_are_what_was_added():
    served, requests = [], []
    for number in range(200):
        arrived_s = 10 + 0.05 * number
        written = (arrived_s + 0.05 + 0.005 * np.arange(64)).tolist()
        served.append(running.Served(arrived_s, written))
        gaps = [0.0052, 0.0048] * 31 + [0.005]
        mean = sum(gaps) / 63
        requests.append(reported.Request(arrived_s - 0.001, 0.053, mean, gaps))
    length = served[-1].written_s[-1] - served[0].arrived_s
    rate = 1.02 * 200 * 64 / length
    answer = reported.Reported(requests, rate, wall_clock=False)
    outcome = running.Outcome(answer, served, [(0.0, 0.0), (100.0, 10.0)], 0.0, 1.0)
    found = figures(outcome, 10, 190)
    assert found.ttft_p50_s == pytest.approx(0.003)
    assert found.ttft_p99_s == pytest.approx(0.003)
    assert found.stamp_p99_s == pytest.approx(0.0022)
    assert found.gap_p99_s == pytest.approx(0.0002)
    assert found.mean_gap_p99_s == pytest.approx(0, abs=1e-9)
    assert found.throughput_share == pytest.approx(0.02)
    assert found.cpu_s_per_1000_tokens == pytest.approx(0.1 * length / 12.8)
    on_the_wall = [replace(each, start_s=each.start_s + 1e6) for each in requests]
    answer = reported.Reported(on_the_wall, rate, wall_clock=True)
    moved = figures(replace(outcome, reported=answer, wall_ahead_s=1e6), 10, 190)
    assert moved.stamp_p99_s == pytest.approx(0.0022, abs=1e-6)


def test_requests_that_the_log_has_not_are_refused():
    served = [running.Served(1.0, [1.1, 1.2])]
    unknown = reported.Request(0.9, 0.1, 0.1, [0.1], arrived_s=1.1)
    with pytest.raises(UserError, match="not in the log"):
        paired(reported.Reported([unknown], 1.0, wall_clock=False), served)
    plain = replace(unknown, arrived_s=None)
    with pytest.raises(UserError, match="2 requests reported, 1 arrived"):
        paired(reported.Reported([plain, plain], 1.0, wall_clock=False), served)


def made(ttft_s: float, arrivals_s: list[float], cpu_s: float = 0.05) -> Figures:
    return Figures(ttft_s, ttft_s, 1e-4, None, 1e-6, 1e-3, cpu_s, arrivals_s, len(arrivals_s), 1.0)


def judged(ours: list[Figures], peer: list[Figures]) -> dict[str, tuple[str, ...]]:
    found = {(20.0, "ours"): ours, (20.0, "peer"): peer, (50.0, "ours"): ours}
    return {line.label: line.fails for line in comparison.lines(found, ["ours", "peer"])}


def test_limits_and_better_peers_are_found():
    poisson = schedules.poisson(20, seed=6, count=400)
    good, late = made(0.3e-3, poisson), made(0.9e-3, poisson)
    assert not any(judged([good, good], [late, late]).values())
    found = judged([late, late], [good, good])
    assert found["20/s: TTFT error p50"] == ("limit not met", "peer is better")
    assert found["20/s: TTFT error p99"] == ("peer is better",)
    # in one round of two, or in a single one, it is noise
    assert not judged([good, late], [good, good])["20/s: TTFT error p99"]
    assert not judged([late], [good])["20/s: TTFT error p99"]


def test_arrivals_that_are_not_poisson_are_found():
    poisson = schedules.poisson(20, seed=6, count=400)
    good, even = made(1e-4, poisson), made(1e-4, schedules.constant(20, count=400))
    found = judged([even, even], [good, good])
    assert found["20/s: index of dispersion"] == (
        "the interval does not hold 1",
        "peer is better",
    )
    assert not judged([good, good], [even, even])["20/s: index of dispersion"]


def test_cpu_time_of_descendants_counts():
    burn = "import time\nwhile time.process_time() < 1: pass\ntime.sleep(1)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        watch = running.CpuWatch(process.pid)
        watch.start()
        process.wait(60)
        watch.stop()
    assert 0.9 < watch.seen[-1][1] < 1.6


def test_client_that_fails_gives_its_last_words(tmp_path, on_server):
    failing = clients.Client(
        "one", None, lambda run: ["-c", "exit('no such thing')"], reported.ours
    )

    async def test(bench):
        run = clients.Run(bench.server.url, 20, 3, 0, tmp_path, tmp_path)
        await asyncio.to_thread(running.run_client, failing, run)

    with pytest.raises(UserError, match="one: exit status 1: no such thing"):
        on_server(test, log=True)


def test_environment_that_is_not_made_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(clients, "ROOT", tmp_path)
    client = next(each for each in clients.CLIENTS if each.name == "guidellm")
    with pytest.raises(UserError, match="inferometer environment peers-guidellm"):
        client.require()


def test_log_agrees_with_the_texts(on_server):
    async def test(bench):
        for index in range(3):
            request = bench_request(bench, index)
            assert (await bench.client.generate(request, agent=0, sequence=index))["status"] == "ok"
        log = await asyncio.to_thread(running.server_log, bench.server.url)
        assert len(log) == 3
        for index, served in enumerate(log):
            stamps = bench.dialect.stamps[index]
            assert served.arrived_s == pytest.approx(stamps.arrived_s, abs=1e-6)
            assert served.written_s == pytest.approx(stamps.written_s, abs=1e-6)
        assert await asyncio.to_thread(running.server_log, bench.server.url) == []

    on_server(test, log=True)


def bench_request(bench, index):
    from inferometer.stacks.base import GenerationRequest

    return GenerationRequest(bench.prompts.prompt(8, index), 5, seed=index)


@pytest.mark.slow
def test_whole_benchmark(tmp_path):
    sys_argv = [sys.executable, str(ROOT / "benchmarks" / "client_peers.py")]
    for client in clients.CLIENTS:
        try:
            client.require()
        except UserError as error:
            pytest.skip(str(error))
    command = [*sys_argv, "--seconds", "2", "--rounds", "1", "--all", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    if "no tokenizer.json" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode in (0, 1), done.stderr
    content = json.loads(done.stdout)
    assert content["missing"] == {}
    for row in content["rows"]:
        assert set(row["cells"]) == set(FOLDERS)
        assert row["cells"]["ours"]["value"] is not None
    for run in content["runs"]:
        assert run["rounds"][0]["requests"] >= 40
    assert not [p for p in psutil.Process().children(recursive=True) if "aiperf" in p.name()]
