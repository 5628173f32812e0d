import asyncio
import json
import time
from collections.abc import Callable
from contextlib import asynccontextmanager

import pytest

from inferometer.load import client as client_module
from inferometer.load.calibration_process import CalibrationDialect
from inferometer.load.client import StreamingClient
from inferometer.stacks.base import GenerationRequest
from inferometer.stacks.openai import OpenAIDialect

REQUEST = GenerationRequest(prompt=[1, 2, 3], output_tokens=8, seed=5)


def test_record_of_a_good_request(on_server):
    async def test(bench):
        return await bench.client.generate(REQUEST, agent=3, sequence=4, scheduled_s=0.25)

    record = on_server(test)
    assert record["status"] == "ok"
    assert record["error"] is None
    assert record["kind"] == "request"
    assert (record["agent"], record["sequence"], record["seed"]) == (3, 4, 5)
    assert record["scheduled_s"] == 0.25
    assert (record["prompt_tokens_asked"], record["prompt_tokens"]) == (3, 3)
    assert (record["output_tokens_asked"], record["completion_tokens"]) == (8, 8)
    assert record["tokens_agree"] is True
    assert record["cached_tokens"] == 0
    assert record["finish_reason"] == "length"
    assert record["in_flight_at_send"] == 0
    assert (
        record["server_queue_s"] is record["server_prefill_s"] is record["server_decode_s"] is None
    )
    stamps = record["token_us"]
    assert len(stamps) == 8
    assert stamps == sorted(stamps)
    assert stamps[0] >= 5_000  # never before the server wrote it
    assert stamps[-1] >= 12_000
    assert record["begun_s"] <= record["sent_s"] < record["first_token_s"]
    assert record["first_token_s"] == pytest.approx(record["sent_s"] + stamps[0] / 1e6, abs=2e-6)
    assert record["last_token_s"] <= record["done_s"]
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize(
    ("fault", "after", "status", "words"),
    [
        ("die", 0, "disconnected", ""),
        ("die", 3, "disconnected", ""),
        ("hang", 0, "timeout", "within 0.5 s"),
        ("hang", 3, "timeout", "within 0.5 s"),
        ("broken_json", 3, "bad_response", "unreadable event"),
        ("nonsense", 3, "bad_response", "unreadable event"),
        ("short", 3, "bad_response", "3 tokens where 8 were forced"),
        ("short", 0, "bad_response", "without a token"),
        ("no_end", 3, "bad_response", "without its end marker after 3 token events"),
        ("no_end", 0, "bad_response", "without its end marker after no token"),
        ("error", 3, "server_error", "a fault was asked for"),
        ("http_500", 0, "http_error", "HTTP 500"),
    ],
)
def test_fault_has_its_status(on_server, fault, after, status, words):
    def program(request):
        return {"fault": fault, "fault_after": after} if request.seed == 5 else {}

    async def test(bench):
        bad = await bench.client.generate(REQUEST, agent=0, sequence=0)
        good = await bench.client.generate(
            GenerationRequest([1], output_tokens=2, seed=6), agent=0, sequence=1
        )
        return bad, good, bench.client.in_flight

    bad, good, in_flight = on_server(test, program, timeout_s=0.5 if fault == "hang" else 5)
    assert bad["status"] == status
    assert words in bad["error"]
    assert len(bad["token_us"]) == after  # what arrived before the fault is kept
    assert (bad["first_token_s"] is None) == (after == 0)
    if fault != "short":
        assert bad["done_s"] is None
    assert good["status"] == "ok"
    assert in_flight == 0


def test_refused(unused_port):
    async def main():
        url = f"http://127.0.0.1:{unused_port}"
        async with StreamingClient(
            url, CalibrationDialect(), timeout_s=5, clock_origin=time.monotonic()
        ) as client:
            return await client.generate(REQUEST, agent=0, sequence=0)

    record = asyncio.run(main())
    assert record["status"] == "refused"
    assert record["sent_s"] >= 0
    assert record["token_us"] == []


def test_requests_in_flight_are_counted_at_sending(on_server):
    async def test(bench):
        requests = [GenerationRequest([1], 4, seed=number) for number in range(3)]
        return await asyncio.gather(
            *(bench.client.generate(r, agent=0, sequence=r.seed) for r in requests)
        )

    assert [record["in_flight_at_send"] for record in on_server(test)] == [0, 1, 2]


def test_cancellation_is_not_a_record(on_server):
    async def test(bench):
        task = asyncio.create_task(bench.client.generate(REQUEST, agent=0, sequence=0))
        while not bench.client.in_flight:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return bench.client.in_flight

    assert on_server(test, lambda request: {"fault": "hang"}) == 0


def test_text_prompt_has_no_asked_length(on_server):
    async def test(bench):
        request = GenerationRequest("three plain words", 2, seed=1)
        return await bench.client.generate(request, agent=0, sequence=0)

    record = on_server(test)
    assert record["prompt_tokens_asked"] is None
    assert record["prompt_tokens"] == 3


# What no well-behaved server does: answers written byte by byte by hand.


def event(**content) -> bytes:
    return b"data: " + json.dumps({"choices": [], **content}).encode() + b"\n\n"


def token(text: str) -> bytes:
    return event(choices=[{"index": 0, "text": text, "finish_reason": None}])


def usage(tokens: int) -> bytes:
    return event(usage={"prompt_tokens": 3, "completion_tokens": tokens})


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def answered(
    *pieces: bytes, stay_s: float = 0, forced: int = 2, timeout_s: float = 3, free: bool = False
) -> dict:
    """The record of a request that a server answers with these pieces, then closes.

    `free`: the answer may end by itself, and its text is kept.
    """

    @asynccontextmanager
    async def server():
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(65536)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.001)
            await asyncio.sleep(stay_s)
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
            yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"

    async def main():
        async with (
            server() as url,
            StreamingClient(
                url, OpenAIDialect(), timeout_s=timeout_s, clock_origin=time.monotonic()
            ) as client,
        ):
            request = GenerationRequest([1, 2, 3], forced, seed=1, stop_at_end=free)
            return await client.generate(request, agent=0, sequence=0, keep_text=free)

    return asyncio.run(main())


def in_bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_answer_in_single_bytes_without_last_line_end():
    stream = token(" a") + token(" ä").replace(b"\n", b"\r\n") + usage(2) + b"data: [DONE]"
    record = answered(HEAD, *in_bytes(stream))
    assert record["status"] == "ok"
    assert len(record["token_us"]) == 2
    assert record["done_s"] is not None


def test_events_of_several_tokens_are_told_from_tokens():
    record = answered(HEAD, token(" two words"), token(" two more"), usage(4), b"data: [DONE]\n\n")
    assert record["status"] == "ok"
    assert record["tokens_agree"] is False
    assert (len(record["token_us"]), record["completion_tokens"]) == (2, 4)


def test_without_usage_events_must_suffice():
    events = (HEAD, token(" a"), token(" b"), b"data: [DONE]\n\n")
    assert answered(*events, forced=2)["status"] == "ok"
    assert answered(*events, forced=2)["tokens_agree"] is None
    record = answered(*events, forced=3)
    assert record["status"] == "bad_response"
    assert "no usage to count by" in record["error"]


def test_an_answer_that_may_end_is_kept_whatever_its_length():
    end = event(choices=[{"index": 0, "text": "", "finish_reason": "stop"}])
    done = b"data: [DONE]\n\n"
    record = answered(HEAD, token("Gr"), token("üße"), end, usage(3), done, forced=9, free=True)
    assert (record["status"], record["text"], record["finish_reason"]) == ("ok", "Grüße", "stop")
    empty = answered(HEAD, end, usage(1), done, forced=9, free=True)
    assert (empty["status"], empty["text"]) == ("ok", "")
    assert "text" not in answered(HEAD, token("a"), end, usage(2), done)


def test_what_is_asked_of_the_sampler():
    def body(**more) -> dict:
        dialect = OpenAIDialect(extra={"ignore_eos": True})
        return dialect.request(GenerationRequest([1], 4, seed=7, **more))[1]

    assert (body()["temperature"], body()["ignore_eos"], body()["seed"]) == (0, True, 7)
    free = body(stop_at_end=True, temperature=0.7)
    assert (free["temperature"], free["ignore_eos"]) == (0.7, False)


def test_page_that_is_no_stream():
    record = answered(HEAD, b"<html>\n<p>welcome</p>\n</html>")
    assert record["status"] == "bad_response"
    assert "<html>" in record["error"]


def test_empty_answer():
    assert answered(HEAD)["status"] == "bad_response"


def test_no_http_at_all():
    record = answered(b"220 mail ready\r\n\r\n")
    assert record["status"] in ("bad_response", "disconnected")


def test_closed_before_any_answer():
    assert answered()["status"] == "disconnected"


def test_connection_that_stays_open_after_the_end(monkeypatch):
    monkeypatch.setattr(client_module, "AFTER_END_S", 0.05)
    record = answered(HEAD, token(" a"), token(" b"), usage(2), b"data: [DONE]\n\n", stay_s=1)
    assert record["status"] == "ok"
    assert record["error"] is None


def test_timeout_after_a_complete_answer_is_no_failure(monkeypatch):
    monkeypatch.setattr(client_module, "AFTER_END_S", 5)
    stream = (HEAD, token(" a"), token(" b"), usage(2), b"data: [DONE]\n\n")
    record = answered(*stream, stay_s=1, timeout_s=0.3)
    assert record["status"] == "ok"


def test_events_after_the_end_do_not_count():
    stream = token(" a") + usage(1) + b"data: [DONE]\n\n" + token(" b")
    record = answered(HEAD, stream, forced=1)
    assert record["status"] == "ok"
    assert len(record["token_us"]) == 1


def test_pool_is_only_open_inside_the_block():
    client = StreamingClient("http://127.0.0.1:9", OpenAIDialect(), timeout_s=1, clock_origin=0)
    with pytest.raises(RuntimeError, match="async with"):
        _ = client.http


@pytest.fixture
def unused_port() -> int:
    async def main() -> int:
        quiet: Callable[..., None] = lambda *streams: None  # noqa: E731
        async with await asyncio.start_server(quiet, "127.0.0.1", 0) as server:
            return server.sockets[0].getsockname()[1]

    return asyncio.run(main())
