"""Ollama and TGI cannot run here: a stand-in replays the shapes that their documentation shows.

No model is behind it; what is tested is how their answers are asked for and read.
"""

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from inferometer.errors import UserError
from inferometer.load.client import StreamingClient
from inferometer.load.prompts import PromptSource
from inferometer.stacks.base import GenerationRequest
from inferometer.stacks.ollama import Ollama, OllamaSettings
from inferometer.stacks.server import free_port, running
from inferometer.stacks.tgi import Tgi, TgiSettings

DIGEST = "a2af6cc3eb7fa8be8504abaf9b04e88f17a119ec3f04a3addf55f92841195f5a"
WORDS = [" blue", "", " sky"]
OLLAMA_END = {
    "done": True,
    "done_reason": "length",
    "response": "",
    "total_duration": 400_000_000,
    "load_duration": 100_000_000,
    "prompt_eval_count": 11,
    "prompt_eval_duration": 13_000_000,
    "eval_count": 3,
    "eval_duration": 52_000_000,
}


def ollama_lines(words: list[str], **end: Any) -> list[bytes]:
    said = [{"model": "gemma3", "response": word, "done": False} for word in words]
    lines = [*said, OLLAMA_END | {"eval_count": len(words)} | end]
    return [json.dumps(line).encode() + b"\n" for line in lines]


def tgi_events(words: list[str], reason: str = "length") -> list[bytes]:
    events = []
    for index, word in enumerate(words):
        token = {"id": index, "text": word, "logprob": -0.5, "special": False}
        last = index == len(words) - 1
        details = {
            "finish_reason": reason,
            "generated_tokens": len(words),
            "seed": None,
            "input_length": 11,
        }
        events.append(
            {
                "index": index + 1,
                "token": token,
                "generated_text": "".join(words) if last else None,
                "details": details if last else None,
            }
        )
    return [b"data:" + json.dumps(event).encode() + b"\n\n" for event in events]


class StandIn:
    """Replays one stream, a piece every 5 ms; keeps what it was asked."""

    def __init__(self, pieces: list[bytes], **facts: Any) -> None:
        self.pieces, self.facts, self.asked = pieces, facts, []
        self.context = 4096

    async def stream(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        if "prompt" not in body and "inputs" not in body:  # Ollama loads a model so
            return web.json_response({"done": True, "response": ""})
        answer = web.StreamResponse()
        await answer.prepare(request)
        for piece in self.pieces:
            await answer.write(piece)
            await asyncio.sleep(0.005)
        return answer

    async def get(self, request: web.Request) -> web.Response:
        model = {"name": "gemma3:latest", "digest": DIGEST, "details": {"format": "gguf"}}
        loaded = model | {"size_vram": 0, "context_length": self.context}
        told = {
            "/api/version": {"version": "0.12.6"},
            "/api/tags": {"models": [model]},
            "/api/ps": {"models": [loaded]},
            "/health": {},
            "/info": {
                "model_id": "org/model",
                "model_sha": "e985a63cdc139290c5f700ff1929f0b5942cced2",
                "max_concurrent_requests": 128,
                "version": "3.3.0",
            },
        }
        return web.json_response(told[request.path])

    @asynccontextmanager
    async def serve(self):
        app = web.Application()
        app.router.add_post("/{path:.*}", self.stream)
        app.router.add_get("/{path:.*}", self.get)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        finally:
            await runner.cleanup()


async def asked(stand_in: StandIn, stack: Any, settings: Any, log: Path) -> tuple[dict, dict]:
    """What is read back, and the record of one request for as many tokens as there are words."""
    async with stand_in.serve() as url:
        mine = settings.model_copy(update={"url": url})
        assert await asyncio.to_thread(stack.why_not, mine) is None
        launch = stack.launch(mine, None, Path(sys.executable), 0)
        async with (
            running(stack, mine, launch, log, ready_limit_s=5) as server,
            StreamingClient(
                url, stack.dialect(mine), timeout_s=5, clock_origin=time.monotonic()
            ) as client,
        ):
            prompts = await PromptSource.build(client, "tests")
            assert not prompts.exact
            request = GenerationRequest(prompts.prompt(8, 0), len(WORDS), seed=3)
            return server.read_back, await client.generate(request, agent=0, sequence=0)


OLLAMA = OllamaSettings(url="http://127.0.0.1:1", model="gemma3", digest=DIGEST[:12])
TGI = TgiSettings(url="http://127.0.0.1:1", model="org/model", sha="e985a63")


def test_ollama_is_asked_without_template_and_read_by_line(tmp_path):
    stand_in = StandIn(ollama_lines(WORDS))
    seen, record = asyncio.run(asked(stand_in, Ollama(), OLLAMA, tmp_path / "log"))
    body = stand_in.asked[-1]
    assert (body["raw"], body["stream"], body["model"]) == (True, True, "gemma3")
    assert body["options"] == {"num_predict": 3, "num_ctx": 4096, "temperature": 0, "seed": 3}
    assert (seen["version"], seen["digest"], seen["context"]) == ("0.12.6", DIGEST, 4096)
    assert record["status"] == "ok", record["error"]
    assert len(record["token_us"]) == record["completion_tokens"] == 3
    assert record["token_us"] == sorted(set(record["token_us"]))
    assert (record["prompt_tokens"], record["finish_reason"]) == (11, "length")
    assert record["cached_tokens"] is None
    times = [record[f"server_{part}_s"] for part in ("queue", "prefill", "decode")]
    assert times == pytest.approx([0.235, 0.013, 0.052])


def test_tgi_ends_with_its_details(tmp_path):
    stand_in = StandIn(tgi_events(WORDS))
    seen, record = asyncio.run(asked(stand_in, Tgi(), TGI, tmp_path / "log"))
    assert stand_in.asked[0]["parameters"]["max_new_tokens"] == 3
    assert (seen["model_id"], seen["version"]) == ("org/model", "3.3.0")
    assert record["status"] == "ok", record["error"]
    assert len(record["token_us"]) == record["completion_tokens"] == 3
    assert (record["prompt_tokens"], record["finish_reason"]) == (11, "length")
    assert record["server_prefill_s"] is None


@pytest.mark.parametrize("stack", [Ollama(), Tgi()])
def test_an_answer_that_ends_by_itself_is_a_failed_request(tmp_path, stack):
    ours = isinstance(stack, Ollama)
    short = ollama_lines(WORDS[:2], done_reason="stop") if ours else tgi_events(WORDS[:2], "eos")
    settings = OLLAMA if ours else TGI
    _, record = asyncio.run(asked(StandIn(short), stack, settings, tmp_path / "log"))
    assert (record["status"], record["error"]) == ("bad_response", "2 tokens where 3 were forced")


@pytest.mark.parametrize("stack", [Ollama(), Tgi()])
def test_broken_streams_are_failed_requests(tmp_path, stack):
    ours = isinstance(stack, Ollama)
    whole, settings = (ollama_lines(WORDS), OLLAMA) if ours else (tgi_events(WORDS), TGI)
    error = json.dumps({"error": "out of memory", "error_type": "generation"}).encode() + b"\n"
    for pieces, status in [
        (whole[:-1], "bad_response"),
        ([*whole[:2], error if ours else b"data:" + error], "server_error"),
        ([*whole[:2], b"[1]\n" if ours else b"data: [1]\n\n"], "bad_response"),
        ([*whole[:1], b'{"a":1}\n' if ours else b'data: {"a":1}\n\n'], "bad_response"),
    ]:
        _, record = asyncio.run(asked(StandIn(pieces), stack, settings, tmp_path / "log"))
        assert record["status"] == status, pieces


def test_another_model_context_or_digest_is_refused(tmp_path):
    def refused(stack: Any, settings: Any, context: int = 4096) -> str:
        stand_in = StandIn(ollama_lines(WORDS))
        stand_in.context = context
        with pytest.raises(UserError) as caught:
            asyncio.run(asked(stand_in, stack, settings, tmp_path / "log"))
        return str(caught.value)

    assert "has no 'phi'; it has: gemma3" in refused(
        Ollama(), OLLAMA.model_copy(update={"model": "phi"})
    )
    assert "with the digest ffffffffffff" in refused(
        Ollama(), OLLAMA.model_copy(update={"digest": "f" * 12})
    )
    assert "asked for num_ctx = 4096, the model is loaded with 2048" in refused(
        Ollama(), OLLAMA, 2048
    )
    assert "serves 'org/model', not 'm'" in refused(Tgi(), TGI.model_copy(update={"model": "m"}))


@pytest.mark.parametrize(("stack", "settings"), [(Ollama(), OLLAMA), (Tgi(), TGI)])
def test_where_nothing_answers_it_is_not_testable(stack, settings):
    gone = settings.model_copy(update={"url": f"http://127.0.0.1:{free_port()}"})
    assert "does not answer" in stack.why_not(gone)
    with pytest.raises(UserError, match="no token ids"):
        stack.dialect(settings).request(GenerationRequest([1, 2], 3, 0))
