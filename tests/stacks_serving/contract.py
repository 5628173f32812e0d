"""What every served stack must do, as functions of a running server; real servers only."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from inferometer.load.client import StreamingClient
from inferometer.load.prompts import PromptSource
from inferometer.records import Record
from inferometer.stacks.base import GenerationRequest, Stack
from inferometer.stacks.server import RunningServer, free_port, running


@dataclass
class Serving:
    """A server that runs, with a client and prompts under its tokenizer."""

    server: RunningServer
    client: StreamingClient
    prompts: PromptSource

    async def answer(
        self, prompt_tokens: int, output_tokens: int, index: int, prompt: list[int] | None = None
    ) -> Record:
        """The record of one request."""
        asked = prompt or self.prompts.prompt(prompt_tokens, index)
        request = GenerationRequest(asked, output_tokens, seed=index)
        return await self.client.generate(request, agent=0, sequence=index)

    async def text(self, prompt: list[int], output_tokens: int) -> str:
        """The text of one answer."""
        path, body = self.client.dialect.request(GenerationRequest(prompt, output_tokens, 0))
        text = ""
        url, headers = self.server.base_url + path, {"Connection": "close"}
        async with self.client.http.post(url, json=body, headers=headers) as answer:
            async for line in answer.content:
                event = self.client.dialect.read_event(line[5:]) if line.strip() else None
                text += event.text if event else ""
        return text


@asynccontextmanager
async def serving(
    stack: Stack, settings: Any, artifact: Path, python: Path, log: Path
) -> AsyncIterator[Serving]:
    """Start the real server as a session does; at the end nothing of it may be left."""
    launch = stack.launch(settings, artifact, python, free_port())
    dialect = stack.dialect(settings)
    assert dialect is not None
    async with running(stack, settings, launch, log, ready_limit_s=120) as server:
        processes = server.processes()
        assert processes
        async with StreamingClient(
            server.base_url, dialect, timeout_s=100, clock_origin=time.monotonic()
        ) as client:
            yield Serving(server, client, await PromptSource.build(client, "contract"))
    left = psutil.wait_procs(processes, timeout=5)[1]
    assert not left, f"still there after the stop: {left}"


async def lengths_are_exact(served: Serving) -> None:
    """Prompts have the asked length, answers the forced one; each token is an event of its own."""
    assert served.prompts.exact
    for index, (prompt, output) in enumerate([(5, 1), (40, 7), (300, 3)]):
        record = await served.answer(prompt, output, index)
        assert record["status"] == "ok", record["error"]
        assert record["prompt_tokens"] == prompt
        assert record["completion_tokens"] == output
        assert len(record["token_us"]) == output
        assert record["tokens_agree"]
        assert record["finish_reason"] == "length"
        assert not record["cached_tokens"]


async def the_end_of_sequence_is_ignored(served: Serving) -> None:
    """A chat that the model would end after some words goes on to the forced length."""
    client = served.client

    async def ids(text: str) -> list[int]:
        return await client.dialect.tokenize(client.http, client.base_url, text)

    # ids 1 and 2 are <|im_start|> and <|im_end|>, at which SmolLM2-Instruct ends its turn
    prompt = [1, *await ids("user\nSay hi."), 2, *await ids("\n"), 1, *await ids("assistant\n")]
    record = await served.answer(0, 60, 50, prompt)
    assert (record["status"], record["completion_tokens"]) == ("ok", 60)


async def an_answer_may_end_by_itself(served: Serving) -> None:
    """With the end of sequence respected, a short answer is short; for a model with ChatML."""
    asked = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    ids = await served.client.dialect.tokenize(served.client.http, served.client.base_url, asked)
    request = GenerationRequest(ids, 200, 1, stop_at_end=True)
    seen = await served.client.generate(request, agent=0, sequence=0, keep_text=True)
    assert (seen["status"], seen["finish_reason"]) == ("ok", "stop"), seen
    assert 1 < seen["completion_tokens"] < 200
    assert seen["text"].strip()
    assert "<|im_end|>" not in seen["text"]


async def tokens_come_one_by_one(served: Serving) -> None:
    """Tokens arrive while the answer is made, not together at its end."""
    record = await served.answer(20, 24, 60)
    stamps = record["token_us"]
    assert len(set(stamps)) >= 20
    # before the half of the time is over, about half of the tokens must be there
    middle = (stamps[0] + stamps[-1]) / 2
    assert 4 <= sum(stamp <= middle for stamp in stamps) <= 20


async def two_at_once(served: Serving, together: bool) -> None:
    """Two sequences are decoded together, or one strictly after the other."""
    first, second = sorted(
        await asyncio.gather(*(served.answer(16, 24, 70 + index) for index in range(2))),
        key=lambda record: record["first_token_s"],
    )
    assert first["status"] == second["status"] == "ok"
    if together:
        assert second["first_token_s"] < first["last_token_s"]
    else:
        assert second["first_token_s"] > first["last_token_s"]
        waited = second["server_queue_s"]
        if waited is not None:  # llama.cpp does not say
            assert waited > 0.5 * (first["last_token_s"] - first["first_token_s"])


async def timings_are_the_servers(served: Serving) -> None:
    """What the server says it took is within what the client saw."""
    record = await served.answer(64, 16, 80)
    said = record["server_prefill_s"] + record["server_decode_s"]
    seen = record["done_s"] - record["sent_s"]
    assert 0.5 * seen < said <= seen + 0.005


async def a_client_that_leaves_frees_its_place(served: Serving, output_tokens: int) -> None:
    """On a serial server, the next request does not wait for the answer of one that left."""
    base = served.client.base_url
    path, body = served.client.dialect.request(
        GenerationRequest(served.prompts.prompt(16, 90), output_tokens, 0)
    )
    host, port = base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data)
    arrived: list[float] = []
    while len(arrived) < 12:
        if (await reader.readline()).startswith(b"data:"):
            arrived.append(time.monotonic())
    per_token = (arrived[-1] - arrived[0]) / 11
    writer.close()
    begun = time.monotonic()
    record = await served.answer(16, 2, 91)
    assert record["status"] == "ok"
    left = per_token * (output_tokens - 12)
    assert time.monotonic() - begun < left / 3
