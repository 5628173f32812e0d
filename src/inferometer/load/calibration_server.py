"""A server of known timing: it answers as the OpenAI completions interface does, on a schedule.

Every token event carries, as its text, the request's seed, when the request arrived and when
the event was written (both CLOCK_MONOTONIC, which processes of one machine share). So a client's
error can be told from this server's own lateness. A request may set `ttft_ms` and `itl_ms`, and
`fault` with `fault_after`, the number of tokens before it strikes.

It runs until its standard input closes, thus no longer than the process that started it.
"""

import argparse
import asyncio
import json
import os
import sys
import threading
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

FAULTS = ("die", "hang", "malformed", "not_json", "short", "no_end", "http_500", "error")
VOCABULARY = 50_000


class KnownTiming:
    """Answer completions with token j written at arrival + TTFT + j times the ITL."""

    def __init__(self, ttft_ms: float, itl_ms: float) -> None:
        self._ttft_ms = ttft_ms
        self._itl_ms = itl_ms

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=64 * 2**20)
        app.add_routes(
            [
                web.post("/v1/completions", self.complete),
                web.post("/tokenize", tokenize),
                web.get("/health", health),
            ]
        )
        return app

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """One streamed completion."""
        arrived_s = time.monotonic()
        body = await request.json()
        fault = body.get("fault")
        if fault is not None and fault not in FAULTS:
            return web.json_response({"error": f"faults: {', '.join(FAULTS)}"}, status=400)
        if fault == "http_500":
            return web.json_response({"error": {"message": "a fault was asked for"}}, status=500)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        tokens = int(body["max_tokens"])
        after = min(tokens, int(body.get("fault_after", 0))) if fault else tokens
        await self._write_tokens(response, body, after, arrived_s)
        if fault is None or fault in AFTERMATHS:
            await AFTERMATHS.get(fault, _finish)(response, body, after)
        elif fault == "die" and request.transport is not None:
            request.transport.abort()
        return response

    async def _write_tokens(
        self, response: web.StreamResponse, body: dict[str, Any], count: int, arrived_s: float
    ) -> None:
        first_s = arrived_s + body.get("ttft_ms", self._ttft_ms) / 1e3
        step_s = body.get("itl_ms", self._itl_ms) / 1e3
        stamp = f"{body.get('seed', 0)} {arrived_s:.6f} "
        for number in range(count):
            # an absolute deadline: lateness of one token is not handed on to the next
            wait_s = first_s + number * step_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            await response.write(
                b'data: {"object":"text_completion","choices":[{"index":0,"text":"%s%.6f",'
                b'"finish_reason":null}]}\n\n' % (stamp.encode(), time.monotonic())
            )


Aftermath = Callable[[web.StreamResponse, dict[str, Any], int], Awaitable[None]]


async def _finish(response: web.StreamResponse, body: dict[str, Any], tokens: int) -> None:
    """The finish reason, the usage and the end marker."""
    await _send(response, {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]})
    usage = {
        "prompt_tokens": prompt_length(body["prompt"]),
        "completion_tokens": tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    await _send(response, {"choices": [], "usage": usage})
    await response.write(b"data: [DONE]\n\n")


async def _hang(response: web.StreamResponse, body: dict[str, Any], tokens: int) -> None:
    await asyncio.sleep(3600)


async def _not_json(response: web.StreamResponse, body: dict[str, Any], tokens: int) -> None:
    await response.write(b'data: {"choices": [{"te\n\n')
    await _finish(response, body, tokens)


async def _malformed(response: web.StreamResponse, body: dict[str, Any], tokens: int) -> None:
    await _send(response, {"choices": "none of the documented kind"})
    await _finish(response, body, tokens)


async def _error(response: web.StreamResponse, body: dict[str, Any], tokens: int) -> None:
    await _send(response, {"error": {"message": "a fault was asked for", "code": 500}})


AFTERMATHS: dict[str | None, Aftermath] = {
    "hang": _hang,
    "not_json": _not_json,
    "malformed": _malformed,
    "short": _finish,
    "error": _error,
}
"""What follows the tokens; faults that are not here just end the stream."""


async def _send(response: web.StreamResponse, content: dict[str, Any]) -> None:
    await response.write(b"data: %s\n\n" % json.dumps(content).encode())


def prompt_length(prompt: str | list[int]) -> int:
    """Tokens of a prompt: its ids, or its words."""
    return len(prompt.split()) if isinstance(prompt, str) else len(prompt)


async def tokenize(request: web.Request) -> web.Response:
    """One id for each word of `content`."""
    body = await request.json()
    words = body["content"].split()
    return web.json_response({"tokens": [zlib.crc32(word.encode()) % VOCABULARY for word in words]})


async def health(request: web.Request) -> web.Response:
    """Ready as soon as it answers."""
    return web.json_response({"status": "ok"})


async def serve(port: int, ttft_ms: float, itl_ms: float) -> None:
    """Serve on 127.0.0.1 until standard input closes; the URL is printed as one JSON line."""
    runner = web.AppRunner(KnownTiming(ttft_ms, itl_ms).application(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    bound = runner.addresses[0][1]
    print(json.dumps({"url": f"http://127.0.0.1:{bound}"}), flush=True)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch, daemon=True).start()
    try:
        await ended.wait()
    finally:
        await runner.cleanup()


def main() -> int:
    """Command line of the server."""
    parser = argparse.ArgumentParser(
        prog="python -m inferometer.load.calibration_server",
        description="Serve completions with known timing until standard input closes.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--ttft-ms", type=float, default=50, help="time to the first token")
    parser.add_argument("--itl-ms", type=float, default=5, help="time between tokens")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.port, options.ttft_ms, options.itl_ms))
    except OSError as error:
        print(f"port {options.port}: {error.strerror}; choose another", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
