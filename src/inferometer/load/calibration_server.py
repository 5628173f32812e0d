"""A server of known timing: it answers as the OpenAI completions interface does, on a schedule.

Token j of a request is written at its arrival + TTFT + j times the inter-token time. Every token
event carries, as its text, the request's seed, when the request arrived and when the event was
written, both by CLOCK_MONOTONIC, which the processes of a machine share: so a client's error can
be told from this server's own lateness. It speaks HTTP/1.1 on bare sockets, because a framework
would see a request later than it arrived, and the client would be charged for that.

A request may set `ttft_ms` and `itl_ms` for itself, and `fault` with `fault_after`, the number of
tokens before the fault strikes; `usage_lie`, by how many tokens the usage is wrong; and
`tokens_per_event`. Without `stream` a request is answered whole, when its last token is due. The
server runs until its standard input closes, thus no longer than the process that started it.

For clients that cannot read the texts, `--log` keeps the same times of each streamed request:
`GET /log` gives those since it was last asked for, in order of arrival.
"""

import argparse
import asyncio
import json
import os
import sys
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

MODEL = "calibration"
Log = list[dict[str, Any]]
VOCABULARY = 50_000
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
END_MARKER = b"data: [DONE]\n\n"


class Connection(asyncio.Protocol):
    """One connection: one request after the other."""

    def __init__(self, ttft_ms: float, itl_ms: float, log: Log | None = None) -> None:
        self._timing = {"ttft_ms": ttft_ms, "itl_ms": itl_ms}
        self._log = log
        self._received = b""
        self._arrived_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer as soon as a request is complete; it arrived when its last byte did."""
        self._arrived_s = time.monotonic()
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        length = content_length(head)
        if not separator or len(rest) < length:
            return
        self._received = rest[length:]
        method, path = head.split(b" ", 2)[:2]
        try:
            self._answer(b"%s %s" % (method, path), rest[:length])
        except (ValueError, KeyError, TypeError) as error:
            self._reply(400, {"error": {"message": f"unreadable request: {error!r}"}})

    def _answer(self, route: bytes, body: bytes) -> None:
        if route == b"GET /health":
            self._reply(200, {"status": "ok"})
        elif route == b"POST /tokenize":
            words = json.loads(body)["content"].split()
            self._reply(200, {"tokens": [zlib.crc32(word.encode()) % VOCABULARY for word in words]})
        elif route == b"POST /v1/completions":
            program = self._timing | json.loads(body)
            Completion(self._transport, program, self._arrived_s, self._log).begin()
        elif route == b"GET /v1/models":
            self._reply(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        elif route == b"GET /log" and self._log is not None:
            self._reply(200, {"requests": self._log})
            self._log.clear()
        else:
            self._reply(404, {"error": {"message": f"no route {route.decode(errors='replace')}"}})

    def _reply(self, status: int, content: dict[str, Any]) -> None:
        self._transport.write(plain_answer(status, content))


class Completion:
    """One streamed answer, driven by timers at absolute times."""

    def __init__(
        self,
        transport: asyncio.Transport,
        body: dict[str, Any],
        arrived_s: float,
        log: Log | None = None,
    ) -> None:
        self._transport = transport
        self._body = body
        self._first_s = arrived_s + float(body["ttft_ms"]) / 1e3
        self._step_s = float(body["itl_ms"]) / 1e3
        self._text = f"{int(body.get('seed', 0))} {arrived_s:.6f} ".encode()
        self._fault = body.get("fault")
        tokens = int(body["max_tokens"])
        self._tokens = tokens if self._fault is None else min(tokens, body.get("fault_after", 0))
        self._prompt_tokens = prompt_length(body["prompt"])
        if self._fault is not None and self._fault not in ENDINGS:
            raise ValueError(f"fault {self._fault!r}; there are {', '.join(filter(None, ENDINGS))}")
        self._streams = body.get("stream", True)
        self._stamps: list[float] = []
        if log is not None and self._streams:
            log.append({"arrived_s": arrived_s, "written_s": self._stamps})
        self._per_event = int(body.get("tokens_per_event", 1))
        self._head = STREAM_HEAD
        self._written = 0
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        """Set the timer of the first token, of a whole answer, or of the fault instead."""
        if self._streams or self._fault is not None:
            self._loop.call_at(self._first_s, self._next)
        else:
            self._loop.call_at(self._first_s + (self._tokens - 1) * self._step_s, self._whole)

    def _next(self) -> None:
        if self._transport.is_closing():
            return
        if self._written == self._tokens:
            ENDINGS[self._fault](self)
            return
        now_s = time.monotonic()
        self._write(
            b'data: {"object":"text_completion","choices":[{"index":0,"text":"%s%.6f",'
            b'"finish_reason":null}]}\n\n' % (self._text, now_s)
        )
        self._stamps.append(now_s)
        self._written = min(self._written + self._per_event, self._tokens)
        if self._written == self._tokens:
            ENDINGS[self._fault](self)
        else:
            # an absolute time: the lateness of one token is not handed on to the next
            self._loop.call_at(self._first_s + self._written * self._step_s, self._next)

    def _whole(self) -> None:
        """Everything at once, when the last token is due; its text carries one pair of times."""
        self._written = self._tokens
        text = f"{self._text.decode()}{time.monotonic():.6f}"
        choice = {"index": 0, "text": text, "finish_reason": "length"}
        self._transport.write(plain_answer(200, {"choices": [choice], "usage": self._usage()}))

    def _usage(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": self._written + int(self._body.get("usage_lie", 0)),
            "prompt_tokens_details": {"cached_tokens": 0},
        }

    def _write(self, data: bytes) -> None:
        self._transport.write(b"%s%x\r\n%s\r\n" % (self._head, len(data), data))
        self._head = b""

    def _close_stream(self) -> None:
        self._transport.write(self._head + LAST_CHUNK)

    def end(self) -> None:
        """The finish reason, the usage and the end marker."""
        finish = {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]}
        usage = {"choices": [], "usage": self._usage()}
        self._write(event(finish) + event(usage) + END_MARKER)
        self._close_stream()

    def end_without_marker(self) -> None:
        """Fault: the stream just ends, in good order."""
        self._close_stream()

    def die(self) -> None:
        """Fault: the connection breaks."""
        self._transport.abort()

    def hang(self) -> None:
        """Fault: nothing comes any more."""

    def write_broken_json(self) -> None:
        """Fault: an event that is cut."""
        self._write(b'data: {"choices": [{"te\n\n')
        self.end()

    def write_half_a_line(self) -> None:
        """Fault: the stream ends in good order, in the middle of an event."""
        self._write(b'data: {"choices": [{"te')
        self._close_stream()

    def write_nonsense(self) -> None:
        """Fault: an event that is JSON of another kind."""
        self._write(event({"choices": "none of the documented kind"}))
        self.end()

    def write_error(self) -> None:
        """Fault: an error in the stream, as servers report one that comes late."""
        self._write(event({"error": {"message": "a fault was asked for"}}))
        self._close_stream()

    def refuse(self) -> None:
        """Fault: HTTP 500 instead of a stream."""
        self._transport.write(plain_answer(500, {"error": {"message": "a fault was asked for"}}))


ENDINGS: dict[str | None, Callable[[Completion], None]] = {
    None: Completion.end,
    "short": Completion.end,
    "no_end": Completion.end_without_marker,
    "die": Completion.die,
    "hang": Completion.hang,
    "broken_json": Completion.write_broken_json,
    "half_line": Completion.write_half_a_line,
    "nonsense": Completion.write_nonsense,
    "error": Completion.write_error,
    "http_500": Completion.refuse,
}
"""What follows the tokens, by `fault`."""


def event(content: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: %s\n\n" % json.dumps(content, separators=(",", ":")).encode()


def plain_answer(status: int, content: dict[str, Any]) -> bytes:
    """A whole HTTP response with a JSON body."""
    body = json.dumps(content).encode()
    head = b"HTTP/1.1 %d -\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def content_length(head: bytes) -> int:
    """The announced length of a request's body; 0 where none is."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


def prompt_length(prompt: str | list[int]) -> int:
    """Tokens of a prompt: its ids, or its words."""
    return len(prompt.split()) if isinstance(prompt, str) else len(prompt)


async def serve(port: int, ttft_ms: float, itl_ms: float, log: Log | None) -> None:
    """Serve on 127.0.0.1 until standard input closes; the URL is printed as one JSON line."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(ttft_ms, itl_ms, log), "127.0.0.1", port)
    host, bound = server.sockets[0].getsockname()
    print(json.dumps({"url": f"http://{host}:{bound}"}), flush=True)
    ended = asyncio.Event()

    def watch() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch, daemon=True).start()
    await ended.wait()
    server.close()


def main() -> int:
    """Command line of the server."""
    parser = argparse.ArgumentParser(
        prog="python -m inferometer.load.calibration_server",
        description="Serve completions with known timing until standard input closes.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--ttft-ms", type=float, default=50, help="time to the first token")
    parser.add_argument("--itl-ms", type=float, default=5, help="time between tokens")
    parser.add_argument("--log", action="store_true", help="keep all times for GET /log")
    options = parser.parse_args()
    log: Log | None = [] if options.log else None
    try:
        asyncio.run(serve(options.port, options.ttft_ms, options.itl_ms, log))
    except OSError as error:
        print(f"port {options.port}: {error.strerror}; choose another", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
