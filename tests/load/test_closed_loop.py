import asyncio
import itertools
import os
import signal

import pytest

from inferometer.errors import UserError
from inferometer.load import closed_loop


def run(bench, records, **changes):
    """A closed loop with small numbers."""
    options = {
        "agents": 2,
        "think_s": 0.0,
        "quota": 2,
        "min_s": 0.0,
        "prompt_tokens": 4,
        "output_tokens": 4,
        "first_index": 0,
        "deadline_s": 10.0,
        "on_record": records.append,
    }
    return closed_loop.run(bench.client, bench.prompts, **(options | changes))


def by_agent(records, agent):
    return [record for record in records if record["agent"] == agent]


def test_all_agents_send_until_the_slowest_has_its_quota(on_server):
    slow = {1: {"ttft_ms": 500}}  # the first request of agent 1
    records = []

    async def test(bench):
        return await run(bench, records, quota=3)

    result = on_server(test, lambda request: slow.get(request.seed, {}))
    assert result.stop_reason == "quota met"
    assert result.per_agent_counts[1] >= 3
    assert result.per_agent_counts[0] > 3  # meanwhile the fast one went on
    assert result.requests == len(records) == sum(result.per_agent_counts)
    assert result.failed == 0
    firsts = [min(r["sent_s"] for r in by_agent(records, agent)) for agent in (0, 1)]
    assert result.window_start_s == max(firsts)
    assert all(record["begun_s"] <= result.window_end_s for record in records)
    slow_done = [record["done_s"] for record in by_agent(records, 1)]
    assert result.window_end_s >= slow_done[2]  # the quota of the last was met first
    assert [record["sequence"] for record in by_agent(records, 0)] == list(
        range(result.per_agent_counts[0])
    )


def test_requests_in_flight_at_the_end_are_awaited_and_recorded(on_server):
    slow = {2: {"ttft_ms": 600}, 3: {"ttft_ms": 700}}
    records = []

    async def test(bench):
        return await run(bench, records, quota=1, min_s=0.1)

    result = on_server(test, lambda request: slow.get(request.seed, {}))
    late = [record for record in records if record["done_s"] > result.window_end_s]
    assert [record["seed"] for record in late] == [r["seed"] for r in records if r["seed"] > 1]
    assert late
    assert all(record["status"] == "ok" for record in late)
    assert result.requests == len(records)


def test_minimum_time_is_kept(on_server):
    records = []

    async def test(bench):
        return await run(bench, records, agents=1, quota=1, min_s=0.3)

    result = on_server(test)
    assert result.stop_reason == "quota met"
    assert result.window_end_s - result.window_start_s >= 0.28
    assert len(records) > 1  # which the quota alone would have been


def test_deadline_ends_sending(on_server):
    records = []

    async def test(bench):
        return await run(bench, records, quota=10**6, deadline_s=0.2)

    result = on_server(test)
    assert result.stop_reason == "deadline"
    assert max(record["begun_s"] for record in records) <= result.window_end_s
    assert all(record["status"] == "ok" for record in records)


def test_prompt_indices_go_on_from_the_first(on_server):
    records = []

    async def test(bench):
        return await run(bench, records, agents=3, first_index=100)

    result = on_server(test)
    seeds = sorted(record["seed"] for record in records)
    assert seeds == list(range(100, 100 + result.requests))


def test_thinking_is_timed_and_cut_short_by_the_end(on_server):
    records = []

    async def test(bench):
        begun = asyncio.get_running_loop().time()
        result = await run(bench, records, agents=2, think_s=0.05, quota=3)
        first = asyncio.get_running_loop().time() - begun
        await run(bench, [], agents=1, think_s=30, quota=1, first_index=100)
        second = asyncio.get_running_loop().time() - begun - first
        return result, second

    result, second = on_server(test)
    assert second < 10  # whoever thinks when sending stops does not finish the thought
    for agent in (0, 1):
        own = by_agent(records, agent)
        assert own[0]["think_overrun_s"] is None
        assert all(record["think_overrun_s"] >= 0 for record in own[1:])
        for before, after in itertools.pairwise(own):
            assert after["sent_s"] - before["done_s"] >= 0.05
    told = [r["think_overrun_s"] for r in records if r["think_overrun_s"] is not None]
    assert result.think_overruns.count >= len(told)
    assert result.think_overruns.p50_s <= result.think_overruns.p99_s <= result.think_overruns.max_s


def test_killed_server_ends_the_loop_and_keeps_the_records(on_server):
    records = []

    async def test(bench):
        async def kill():
            while not records:
                await asyncio.sleep(0.01)
            os.kill(bench.server.process.pid, signal.SIGKILL)

        killing = asyncio.create_task(kill())
        result = await run(bench, records, agents=3, quota=10**6, deadline_s=60)
        await killing
        return result

    result = on_server(test)
    assert result.stop_reason == "server gone"
    assert result.requests == len(records)
    assert any(record["status"] == "ok" for record in records)
    statuses = {record["status"] for record in records if record["status"] != "ok"}
    assert statuses <= {"disconnected", "refused"}
    assert "refused" in statuses


def test_server_that_answers_nothing_is_gone(on_server):
    records = []

    async def test(bench):
        return await run(bench, records, quota=10**6, deadline_s=60)

    result = on_server(test, lambda request: {"fault": "hang"}, timeout_s=0.1)
    assert result.stop_reason == "server gone"
    assert {record["status"] for record in records} == {"timeout"}


def test_failures_count_for_the_quota_and_are_not_hammered(on_server):
    records = []

    async def test(bench):
        return await run(bench, records, quota=3, min_s=0.3)

    result = on_server(test, lambda request: {"fault": "http_500"})
    assert result.stop_reason == "quota met"
    assert result.failed == result.requests == len(records) <= 10
    assert result.think_overruns.count == 0  # a pause after a failure is no think


def test_what_on_record_raises_ends_the_loop(on_server):
    def full(record):
        raise UserError("disk full")

    async def test(bench):
        with pytest.raises(UserError, match="disk full"):
            await run(bench, [], agents=4, on_record=full)
        return bench.client.in_flight, len(asyncio.all_tasks())

    assert on_server(test) == (0, 1)


def test_cancelled_loop_leaves_no_request(on_server):
    async def test(bench):
        task = asyncio.create_task(run(bench, [], quota=10**6))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return bench.client.in_flight

    assert on_server(test) == 0


def test_no_agents_is_a_mistake(on_server):
    async def test(bench):
        with pytest.raises(ValueError, match="0 agents"):
            await run(bench, [], agents=0)

    on_server(test)
