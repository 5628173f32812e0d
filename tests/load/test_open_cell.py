"""Open-loop cells at a calibration server, whose timing is known; a stand-in for a stack."""

from types import SimpleNamespace

import pytest

from inferometer.design import Cell, Gates
from inferometer.load import conversations, hold, open_cell
from inferometer.session import CellRun

EFFORT = {
    **{"quota": 2, "min_s": 0.4, "prompt_tokens": 4, "output_tokens": 4, "deadline_s": 10},
    **{"load_s": 1.0, "hold_s": 0.6, "drain_s": 0.5, "health_period_s": 0.2, "conversations": 2},
}
LIMITS = Gates(failed_fraction=0, client_lag_p99_s=2, think_overrun_p99_s=10)


def cell_run(bench, records, levels, *, kept=None, limits=LIMITS, block=0, **effort):
    return CellRun(
        SimpleNamespace(seed=128, gates=limits),
        open_cell.OpenLoopEffort(**(EFFORT | effort)),
        [bench],
        records.append,
        Cell(phase="load", levels=levels),
        0,
        block=block,
        kept={} if kept is None else kept,
    )


def test_capacity_is_measured_and_kept(on_server):
    records, kept = [], {}

    async def test(bench):
        levels = {"agents": 2, "think_ms": 0}
        return await open_cell.measure_capacity(cell_run(bench, records, levels, kept=kept))

    outcome = on_server(test, lambda request: {"ttft_ms": 17, "itl_ms": 1})
    assert outcome.reasons == []
    # two streams, 20 ms each: at most 100 requests/s, less what the client adds
    assert 0 < kept["capacity_per_s"] <= 101


def test_rates_are_shares_of_the_capacity(on_server):
    records = []

    async def test(bench):
        run = cell_run(bench, records, {"rho": 0.5}, kept={"capacity_per_s": 60.0})
        return await open_cell.measure_open_loop(run)

    outcome = on_server(test)
    *requests, load = records
    assert outcome.reasons == []
    assert load["kind"] == "load"
    assert (load["rate_per_s"], load["rho_asked"], load["law"]) == (30.0, 0.5, "poisson")
    assert load["requests"] == len(requests) == outcome.prompts_used
    assert outcome.window_end_s == pytest.approx(outcome.window_start_s + 1)
    scheduled = sorted(record["scheduled_s"] for record in requests)
    assert outcome.window_start_s <= scheduled[0]
    assert scheduled[-1] < outcome.window_end_s


def test_arms_of_a_block_meet_the_same_arrivals(on_server):
    async def test(bench):
        found = []
        for capacity, block in ((60.0, 0), (120.0, 0), (60.0, 1)):
            records = []
            run = cell_run(
                bench, records, {"rho": 0.5}, kept={"capacity_per_s": capacity}, block=block
            )
            outcome = await open_cell.measure_open_loop(run)
            times = sorted(r["scheduled_s"] for r in records if r["kind"] == "request")
            found.append([(at - outcome.window_start_s) * capacity for at in times])
        return found

    slow, fast, other = on_server(test)
    assert slow == pytest.approx(fast[: len(slow)], abs=1e-3)
    assert slow != pytest.approx(other[: len(slow)], abs=1e-3)


def test_without_a_capacity_there_is_no_rate(on_server):
    async def test(bench):
        return await open_cell.measure_open_loop(cell_run(bench, [], {"rho": 0.5}))

    assert "capacity of this block was not measured" in on_server(test).reasons[0]


def test_a_rate_that_the_client_cannot_send_makes_the_cell_invalid(on_server):
    records = []

    async def test(bench):
        run = cell_run(
            bench,
            records,
            {"rho": 1.1},
            kept={"capacity_per_s": 20_000.0},
            limits=LIMITS.model_copy(update={"client_lag_p99_s": 0.005}),
            load_s=0.05,
        )
        return await open_cell.measure_open_loop(run)

    outcome = on_server(test)
    assert any("could not send at this rate" in reason for reason in outcome.reasons)
    assert len(records) == outcome.prompts_used + 1  # every one recorded all the same


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ({"fault": "http_500"}, "HTTP 500"),
        ({"usage_lie": 1}, "have another output length than forced"),
        ({"fault": "half_line", "fault_after": 1}, "unreadable event"),
    ],
)
def test_faults_make_the_cell_invalid_with_the_reason(on_server, program, words):
    async def test(bench):
        run = cell_run(bench, [], {"rho": 0.5}, kept={"capacity_per_s": 40.0}, load_s=0.5)
        return await open_cell.measure_open_loop(run)

    outcome = on_server(test, lambda r: program if r.seed == 1 else {})
    assert any(words in reason for reason in outcome.reasons)
    assert not outcome.restart


def test_unfinished_requests_are_a_result_and_not_a_failure(on_server):
    records = []

    async def test(bench):
        run = cell_run(bench, records, {"rho": 0.5}, kept={"capacity_per_s": 40.0}, load_s=0.5)
        return await open_cell.measure_open_loop(run)

    outcome = on_server(test, lambda r: {"fault": "hang"} if r.seed == 1 else {})
    assert outcome.reasons == []
    assert outcome.facts["unfinished"] == records[-1]["unfinished"] == 1


def test_a_server_that_dies_is_recorded_and_gets_a_new_life(on_server):
    records = []

    async def test(bench):
        bench.server.process.kill()
        await bench.server.process.wait()
        run = cell_run(bench, records, {"rho": 0.5}, kept={"capacity_per_s": 20.0}, load_s=0.5)
        return await open_cell.measure_open_loop(run)

    outcome = on_server(test)
    assert outcome.restart
    assert "requests failed" in outcome.reasons[0]
    assert {r["status"] for r in records if r["kind"] == "request"} <= {"refused", "disconnected"}


def test_a_hold_reads_the_machine_meanwhile(on_server):
    records = []

    async def test(bench):
        return await hold.measure_hold(
            cell_run(bench, records, {"rho": 0.5}, kept={"capacity_per_s": 40.0})
        )

    outcome = on_server(test)
    assert outcome.window_end_s == pytest.approx(outcome.window_start_s + 0.6)
    seen = [record for record in records if record["kind"] == "health"]
    assert len(seen) >= 2
    assert set(seen[0]) > {"at_s", "cpu_mhz", "cpu_temperature_c", "gpu_throttle_reasons"}


def test_what_a_machine_does_not_offer_is_none():
    silent = {"temperatures_c": None, "gpus": None, "cpu_mhz": None}
    assert set(hold.health(silent).values()) == {None}
    gpu = {"sm_mhz": 1500, "temperature_c": 60, "throttle_reasons": []}
    seen = hold.health({"temperatures_c": {"a": 50, "b": 61}, "gpus": [gpu], "cpu_mhz": 2000})
    assert seen["cpu_temperature_c"] == 61
    assert seen["gpu_throttle_reasons"] == "none"


def test_parts_of_a_conversation():
    def length(turn, history):
        part = conversations.kept(turn, history, 3, 32, 16)
        return part.stop - part.start

    assert [length(turn, "full") for turn in range(1, 6)] == [32, 80, 128, 176, 224]
    assert [length(turn, "window") for turn in range(1, 6)] == [32, 80, 128, 128, 128]
    full, window = (conversations.kept(5, kind, 3, 32, 16) for kind in ("full", "window"))
    assert full.stop == window.stop  # both end with the turn's own question


def test_conversations_grow_turn_by_turn(on_server):
    records = []

    async def test(bench):
        return await conversations.measure_conversations(
            cell_run(bench, records, {"turns": 3}), turns=3, history="full", window=2
        )

    outcome = on_server(test)
    assert (outcome.reasons, outcome.prompts_used) == ([], 2)
    assert [record["prompt_tokens"] for record in records] == [4, 12, 20] * 2
    assert [record["sequence"] for record in records] == [0, 1, 2] * 2


def test_a_conversation_that_breaks_is_invalid(on_server):
    async def test(bench):
        return await conversations.measure_conversations(
            cell_run(bench, [], {"turns": 3}), turns=3, history="window", window=2
        )

    outcome = on_server(test, lambda r: {"fault": "die"} if r.seed == 2 else {})
    assert outcome.restart
    assert outcome.reasons[0].startswith("turn 2: disconnected")
