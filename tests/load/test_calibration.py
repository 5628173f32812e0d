import argparse
import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import aiohttp
import psutil
import pytest
from rich.console import Console

from inferometer.errors import UserError
from inferometer.load import calibration, calibration_process
from inferometer.load.client_error import Plan, summarize

SERVER = [sys.executable, "-m", "inferometer.load.calibration_server", "--port", "0"]


def gone(pid: int) -> bool:
    for _ in range(600):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_server_ends_when_its_input_closes():
    with subprocess.Popen(SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(30) == 0


def test_server_ends_with_a_parent_that_was_killed():
    parent = (
        "import subprocess, time\n"
        f"p = subprocess.Popen({SERVER!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "p.stdout.readline()\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        server = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    assert gone(server)


def test_taken_port_is_one_message(on_server):
    async def test(bench):
        port = bench.server.url.rsplit(":", 1)[1]
        return subprocess.run(
            [*SERVER[:-1], port], stdin=subprocess.PIPE, capture_output=True, text=True, check=False
        )

    finished = on_server(test)
    assert finished.returncode == 1
    assert "choose another" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_server_is_ended_with_the_block_that_uses_it():
    pids = []

    async def main():
        async with calibration_process.running_server(1, 1) as server:
            pids.append(server.process.pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
    assert gone(pids[0])


def test_server_that_does_not_start_is_explained(monkeypatch):
    async def main():
        async with calibration_process.running_server("soon", 1):
            pass

    with pytest.raises(UserError, match=r"calibration server: .*invalid float value"):
        asyncio.run(main())


def test_unknown_routes_and_bodies_are_answered(on_server):
    async def test(bench):
        http, url = bench.client.http, bench.server.url
        answers = []
        for path, body in [
            ("/nowhere", b"{}"),
            ("/v1/completions", b"not json"),
            ("/v1/completions", b'{"prompt": [1], "max_tokens": 2, "fault": "typo"}'),
        ]:
            async with http.post(url + path, data=body) as answer:
                answers.append((answer.status, await answer.text()))
        async with http.get(url + "/health") as answer:
            answers.append((answer.status, await answer.text()))
        return answers

    answers = on_server(test)
    assert [status for status, _ in answers] == [404, 400, 400, 200]
    assert "typo" in answers[2][1]


def test_request_in_pieces_is_answered(on_server):
    async def test(bench):
        host, port = bench.server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for piece in (b"GET /hea", b"lth HTTP/1.1\r\nHost: x\r\n", b"\r\n"):
            writer.write(piece)
            await asyncio.sleep(0.01)
        status = await reader.readline()
        writer.close()
        return status

    assert b"200" in on_server(test)


def test_server_keeps_its_times(on_server):
    async def test(bench):
        async with aiohttp.ClientSession() as http:
            body = {"prompt": [1], "max_tokens": 3, "seed": 9, "ttft_ms": 40, "itl_ms": 20}
            async with http.post(bench.server.url + "/v1/completions", json=body) as answer:
                async for line in answer.content:
                    if line.startswith(b"data:"):
                        bench.dialect.read_event(line[5:].strip())
        return bench.dialect.stamps[9]

    stamps = on_server(test)
    late = [
        written - stamps.arrived_s - planned
        for written, planned in zip(stamps.written_s, (0.04, 0.06, 0.08), strict=True)
    ]
    assert min(late) > -1e-3  # never early; late is what a busy machine does


def test_quick_calibration():
    measured = asyncio.run(calibration.calibrate(quick=True))
    content = json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    assert content["quick"] is True
    for name in ("streams", "rate"):
        load = content[name]
        assert load["requests"] >= 8
        assert load["tokens"] == load["requests"] * content["plan"]["output_tokens"]
        assert 0 < load["added_ttft_p50_s"] <= load["added_ttft_p99_s"] < 1
        assert 0 < load["token_stamp_error_p50_s"] <= load["token_stamp_error_p99_s"] < 1
        assert load["cpu_s_per_1000_tokens"] > 0
    assert content["streams"]["schedule_lag_p99_s"] is None
    assert content["rate"]["schedule_lag_p99_s"] > 0
    assert set(content["limits"]) >= {"added_ttft_p50_s", "cpu_s_per_1000_tokens"}


def exact_load(**changes):
    """A client that adds 1 ms to everything."""
    record = {
        "seed": 1,
        "begun_s": 9.9,
        "sent_s": 10.0,
        "first_token_s": 10.052,
        "token_us": [52_000, 57_000],
    }
    stamps = calibration_process.ServerStamps(arrived_s=110.001, written_s=[110.051, 110.056])
    plan = Plan(ttft_ms=50, itl_ms=5, output_tokens=2, seconds=1)
    load = summarize("one", [record], {1: stamps}, 100.0, plan, cpu_s=0.004)
    return replace(load, **changes)


def test_error_is_told_from_the_server():
    load = exact_load()
    assert load.added_ttft_p50_s == pytest.approx(0.002, abs=2e-6)  # there and back
    assert load.token_stamp_error_p50_s == pytest.approx(0.001, abs=2e-6)
    assert load.server_lateness_p99_s == pytest.approx(0, abs=2e-6)
    assert load.send_delay_p50_s == pytest.approx(0.1, abs=2e-6)
    assert load.cpu_s_per_1000_tokens == 2
    assert load.schedule_lag_p99_s is None


def test_limits_and_table():
    bad = exact_load(schedule_lag_p50_s=0.0001, schedule_lag_p99_s=0.001)
    good = replace(bad, added_ttft_p50_s=1e-4, added_ttft_p99_s=1e-4, cpu_s_per_1000_tokens=0.05)
    plan = Plan(1, 1, 1, 1)
    measured = calibration.Calibration(False, plan, streams=good, rate=bad, wall_s=1)
    assert measured.beyond_limits() == ["rate.added_ttft_p50_s", "rate.cpu_s_per_1000_tokens"]
    out = io.StringIO()
    Console(file=out, width=100).print(calibration.table(measured))
    text = out.getvalue()
    assert "not met" in text
    assert "0.600 ms" in text
    assert "\x1b" not in text  # colours only on a terminal


def test_command_prints_json(capsys):
    parser = argparse.ArgumentParser()
    calibration.add_arguments(parser)
    assert calibration.run_command(parser.parse_args(["--json", "--seconds", "0.2"])) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["plan"]["seconds"] == 0.2


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_command_refuses_impossible_lengths(seconds):
    parser = argparse.ArgumentParser()
    calibration.add_arguments(parser)
    with pytest.raises(UserError, match="--seconds"):
        calibration.run_command(parser.parse_args(["--seconds", seconds]))
