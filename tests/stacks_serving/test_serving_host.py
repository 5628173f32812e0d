"""The hosts' HTTP server, in a process of its own, with a stand-in for the engine.

The stand-in makes a token every 5 ms for each sequence it was given; no model is behind it.
"""

import asyncio
import importlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import contract
import pytest
from checkouts import REPOSITORY, until

from inferometer.load.client import StreamingClient
from inferometer.load.prompts import PromptSource
from inferometer.stacks.base import GenerationRequest
from inferometer.stacks.openai import OpenAIDialect
from inferometer.stacks.server import RunningServer, free_port

PROGRAM = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from openai_http import Served, Server
class Text:
    def encode(self, text): return list(text.encode())
    def piece(self, token): return bytes([token])
class Engine:
    def __init__(self): self.left, self.fail = {}, False
    def add(self, key, prompt, output_tokens):
        if prompt == [66]: raise MemoryError("no room")
        word = "ab." if prompt == [46] else chr(0x20AC)
        self.left[key] = list((word * output_tokens).encode())[:output_tokens]
    def cancel(self, key):
        del self.left[key]
        print("cancelled", flush=True)
    def step(self):
        time.sleep(.005)
        for key in list(self.left):
            token = self.left[key].pop(0)
            if not self.left[key]: del self.left[key]
            yield key, token
server = Server("127.0.0.1", int(sys.argv[2]))
ends = frozenset([46])
server.serve(Engine(), Served("stand-in", {"a": 1}, Text(), 256, 4000, int(sys.argv[3]), ends))
"""


@pytest.fixture
def host():
    """Start the server with so many sequences at once; gives its URL and its process."""
    started = []

    def start(sequences: int):
        port = free_port()
        folder = REPOSITORY / "src/inferometer/hosts"
        command = [sys.executable, "-c", PROGRAM, str(folder), str(port), str(sequences)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        url = f"http://127.0.0.1:{port}"

        def healthy() -> bool:
            try:
                return urllib.request.urlopen(url + "/health", timeout=2).status == 200
            except (urllib.error.URLError, OSError):
                return False

        assert until(healthy, 10)
        return url, started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def post(url: str, path: str, body: object) -> tuple[int, bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data), timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def with_client(url: str, test) -> None:
    async def main() -> None:
        origin = time.monotonic()
        dialect = OpenAIDialect(closes_streams=True)
        async with StreamingClient(url, dialect, timeout_s=20, clock_origin=origin) as client:
            server = RunningServer(url, [], 0.0, {}, None, Path("none"))
            prompts = await PromptSource.build(client, "tests")
            await test(contract.Serving(server, client, prompts))

    asyncio.run(main())


def test_the_contract_holds_for_the_server_alone(host):
    url, process = host(1)

    async def test(served: contract.Serving) -> None:
        await contract.lengths_are_exact(served)
        await contract.tokens_come_one_by_one(served)
        await contract.timings_are_the_servers(served)
        await contract.two_at_once(served, together=False)
        await contract.a_client_that_leaves_frees_its_place(served, 600)
        # characters of three bytes, a byte a token: the last token of each brings it
        assert await served.text([1], 7) == "€€\ufffd"

    with_client(url, test)
    assert process.stdout.readline() == b"cancelled\n"


def test_an_answer_ends_at_its_end_token_where_it_is_asked_to(host):
    url, process = host(1)

    async def test(served: contract.Serving) -> None:
        for length, reason, text in ((9, "stop", "ab"), (3, "stop", "ab"), (2, "length", "ab")):
            request = GenerationRequest([46], length, 1, stop_at_end=True)
            seen = await served.client.generate(request, agent=0, sequence=0, keep_text=True)
            assert (seen["status"], seen["finish_reason"], seen["text"]) == ("ok", reason, text)
            assert seen["completion_tokens"] == min(length, 3)
        forced = await served.client.generate(
            GenerationRequest([46], 9, 1), agent=0, sequence=1, keep_text=True
        )
        assert (forced["completion_tokens"], forced["finish_reason"]) == (9, "length")
        assert forced["text"] == "ab.ab.ab."

    with_client(url, test)
    assert process.stdout.readline() == b"cancelled\n"  # the first alone ended early


def test_as_many_as_allowed_are_decoded_together(host):
    url, _ = host(2)

    async def test(served: contract.Serving) -> None:
        await contract.two_at_once(served, together=True)
        records = await asyncio.gather(*(served.answer(4, 20, index) for index in range(5)))
        queued = sorted(record["server_queue_s"] for record in records)
        assert max(queued[:2]) < 0.05 < 0.09 < queued[2]
        assert queued[4] > 0.18

    with_client(url, test)


def test_a_client_that_leaves_while_it_waits_is_never_started(host):
    url, process = host(1)

    async def test(served: contract.Serving) -> None:
        long = asyncio.create_task(served.answer(4, 100, 0))
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(served.answer(4, 100, 1))
        await asyncio.sleep(0.1)
        waiting.cancel()
        assert (await long)["status"] == "ok"
        begun = time.monotonic()
        assert (await served.answer(4, 1, 2))["status"] == "ok"
        assert time.monotonic() - begun < 0.3

    with_client(url, test)
    process.kill()
    assert process.stdout.read() == b""


def test_bad_requests_say_what_is_wrong(host):
    url, process = host(1)
    good = {"prompt": [1, 2], "max_tokens": 2, "stream": True}
    for change, message in [
        ({"stream": False}, "only streams"),
        ({"temperature": 0.7}, "greedily"),
        ({"prompt": []}, "list of token ids"),
        ({"prompt": [1, 256]}, "from 0 to 255"),
        ({"prompt": [True]}, "from 0 to 255"),
        ({"max_tokens": 0}, "from 1 on"),
        ({"max_tokens": 4000}, "2 + 4000 tokens are more than the context of 4000"),
    ]:
        status, text = post(url, "/v1/completions", good | change)
        assert (status, message in text.decode()) == (400, True), text
    assert post(url, "/v1/completions", b"{")[0] == 400
    assert post(url, "/tokenize", {"content": 3})[0] == 400
    assert post(url, "/nothing", {})[0] == 404
    assert post(url, "/v1/completions", good | {"prompt": "ab"})[0] == 200
    status, text = post(url, "/v1/completions", good | {"prompt": [66]})
    assert b'"message":"MemoryError: no room"' in text
    assert process.wait(5) != 0


def test_a_client_that_does_not_read_is_never_waited_for(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "src/inferometer/hosts"))
    stream = importlib.import_module("openai_stream")
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with ours, theirs:
        sequence = stream.Sequence(1, [1], 2000, ours, arrived_s=0.0)
        for token in range(2000):
            sequence.send(stream.token_event(str(token)))
        assert sequence.pending
        assert not sequence.gone
        read = b""
        while sequence.pending:
            read += theirs.recv(1 << 16)
            sequence.send(b"")
        sequence.finish(b"end")
        theirs.settimeout(5)
        while not read.endswith(b"end"):
            read += theirs.recv(1 << 16)
        assert read == b"".join(stream.token_event(str(token)) for token in range(2000)) + b"end"
        theirs.close()
        sequence.send(b"more")
        assert sequence.gone
