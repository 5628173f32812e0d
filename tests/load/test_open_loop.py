import pytest

from inferometer.errors import UserError
from inferometer.load import open_loop


def run(bench, schedule, records, **changes):
    options = {
        "prompt_tokens": 4,
        "output_tokens": 4,
        "first_index": 0,
        "on_record": records.append,
    }
    return open_loop.run(bench.client, bench.prompts, schedule, **(options | changes))


def test_schedules():
    assert open_loop.constant_schedule(4, 3) == [0, 0.25, 0.5]
    times = open_loop.poisson_schedule(50, 5000, seed=3)
    assert times == open_loop.poisson_schedule(50, 5000, seed=3) == sorted(times)
    assert times != open_loop.poisson_schedule(50, 5000, seed=4)
    assert 5000 / times[-1] == pytest.approx(50, rel=0.05)


def test_slow_server_holds_nothing_back(on_server):
    records = []

    async def test(bench):
        return await run(bench, open_loop.constant_schedule(100, 20), records)

    result = on_server(test, lambda request: {"ttft_ms": 500})
    assert result.requests == len(records) == 20
    assert result.failed == 0
    # all 20 were under way at once: none waited for an answer
    assert max(record["in_flight_at_send"] for record in records) == 19
    for record in records:
        assert record["scheduled_s"] == pytest.approx(
            result.start_s + record["sequence"] / 100, abs=2e-6
        )
        assert record["lag_s"] == pytest.approx(record["sent_s"] - record["scheduled_s"], abs=2e-6)
        assert record["lag_s"] >= 0
        assert record["seed"] == record["sequence"]
    assert 0 <= result.lag_p50_s <= result.lag_p99_s


def test_failures_are_records(on_server):
    records = []

    async def test(bench):
        return await run(bench, [0, 0, 0.01], records)

    result = on_server(test, lambda r: {"fault": "die"} if r.seed == 1 else {})
    assert (result.requests, result.failed) == (3, 1)
    assert sorted(record["status"] for record in records) == ["disconnected", "ok", "ok"]


def test_what_on_record_raises_ends_the_loop(on_server):
    def full(record):
        raise UserError("disk full")

    async def test(bench):
        with pytest.raises(UserError, match="disk full"):
            await run(bench, [0, 5], [], on_record=full)
        return bench.client.in_flight

    assert on_server(test) == 0
