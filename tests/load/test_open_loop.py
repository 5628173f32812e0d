import os

import pytest

from inferometer.errors import UserError
from inferometer.load import open_loop, schedules
from inferometer.load.pauses import first_in_line


def run(bench, schedule, records, **changes):
    options = {
        "prompt_tokens": 4,
        "output_tokens": 4,
        "first_index": 0,
        "on_record": records.append,
    }
    return open_loop.run(bench.client, bench.prompts, schedule, **(options | changes))


def test_slow_server_holds_nothing_back(on_server):
    records = []

    async def test(bench):
        return await run(bench, schedules.constant(100, count=20), records)

    result = on_server(test, lambda request: {"ttft_ms": 900})
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


@pytest.mark.parametrize(
    ("program", "status", "words"),
    [
        ({"fault": "http_500"}, "http_error", "HTTP 500"),
        ({"fault": "half_line", "fault_after": 2}, "bad_response", "unreadable event"),
        ({"fault": "die", "fault_after": 2}, "disconnected", ""),
        ({"fault": "hang", "fault_after": 2}, "unfinished", "1 s after the last"),
        ({"fault": "no_end", "fault_after": 2}, "bad_response", "without its end marker"),
        ({"usage_lie": -1}, "bad_response", "3 tokens where 4 were forced"),
        ({"tokens_per_event": 2}, "ok", ""),
    ],
)
def test_each_fault_has_its_record_and_holds_nothing_up(on_server, program, status, words):
    records = []

    async def test(bench):
        return await run(bench, [0, 0.01, 0.02], records, drain_s=1)

    result = on_server(test, lambda r: program if r.seed == 1 else {})
    by_seed = {record["seed"]: record for record in records}
    assert (by_seed[0]["status"], by_seed[2]["status"]) == ("ok", "ok")
    assert by_seed[1]["status"] == status
    assert words in (by_seed[1]["error"] or "")
    assert (result.failed, result.unfinished) == (status != "ok", status == "unfinished")
    if "tokens_per_event" in program:
        assert by_seed[1]["tokens_agree"] is False
        assert (len(by_seed[1]["token_us"]), by_seed[1]["completion_tokens"]) == (2, 4)


def test_the_drain_ends_what_is_still_under_way(on_server):
    records = []

    async def test(bench):
        began = bench.client.now()
        result = await run(bench, [0, 0.1], records, drain_s=0.4)
        return result, bench.client.now() - began, bench.client.in_flight

    result, took_s, in_flight = on_server(test, lambda r: {"ttft_ms": 3000 if r.seed else 20})
    assert [record["status"] for record in records] == ["ok", "unfinished"]
    assert records[1]["done_s"] is None
    assert (result.requests, result.failed, result.unfinished, in_flight) == (2, 1, 1, 0)
    assert 0.5 <= took_s < 2.9  # the answer would have come after 3.1


def test_whole_answers_come_in_one_piece(on_server):
    records = []

    async def test(bench):
        return await run(bench, [0], records, stream=False)

    on_server(test)
    (record,) = records
    assert (record["status"], record["completion_tokens"], record["cached_tokens"]) == ("ok", 4, 0)
    assert len(record["token_us"]) == 1
    assert record["first_token_s"] == record["last_token_s"] == record["done_s"]
    assert record["token_us"][0] >= 8_000  # when the last of the 4 tokens was due


@pytest.mark.parametrize(("fault", "status"), [("http_500", "http_error"), ("die", "disconnected")])
def test_whole_answers_fail_as_streams_do(on_server, fault, status):
    records = []

    async def test(bench):
        return await run(bench, [0], records, stream=False)

    on_server(test, lambda request: {"fault": fault})
    assert records[0]["status"] == status


def test_an_empty_schedule_is_refused(on_server):
    async def test(bench):
        with pytest.raises(ValueError, match="empty schedule"):
            await run(bench, [], [])

    on_server(test)


def test_what_on_record_raises_ends_the_loop(on_server):
    def full(record):
        raise UserError("disk full")

    async def test(bench):
        with pytest.raises(UserError, match="disk full"):
            await run(bench, [0, 5], [], on_record=full)
        return bench.client.in_flight

    assert on_server(test) == 0


def test_the_client_goes_first_where_it_may_and_is_ordinary_again_after():
    before = os.sched_getscheduler(0)
    with first_in_line() as scheduling:
        real_time = os.sched_getscheduler(0) == os.SCHED_RR
        assert scheduling == ("real-time" if real_time else "ordinary")
    assert os.sched_getscheduler(0) == before
