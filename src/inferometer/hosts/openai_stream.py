"""One streamed answer: its bytes on the way to the client, its events, and its times."""

import codecs
import json
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Sequence:
    """One request, from its arrival to its last byte; times are monotonic seconds."""

    key: int
    prompt: list[int]
    output_tokens: int
    connection: socket.socket
    arrived_s: float
    started_s: float = 0.0
    first_s: float = 0.0
    made: int = 0
    gone: bool = False
    ends: frozenset[int] = frozenset()
    """Tokens that end the answer early; none where its length is forced."""
    finish_reason: str = "length"
    pending: bytes = b""
    over: bool = False
    decoder: Any = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))

    def send(self, data: bytes) -> None:
        """Hand bytes to the kernel without waiting; what it does not take waits for the next."""
        data = self.pending + data
        try:
            sent = self.connection.send(data, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.gone, sent = True, len(data)
        self.pending = data[sent:]

    def finish(self, data: bytes) -> None:
        """Send the end, and wake the thread that holds the connection: it flushes and closes."""
        self.over = True
        self.send(data)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RD)


def closing(sequence: Sequence) -> bytes:
    """Finish reason, usage and timings; `timings` is llama.cpp's shape and `queue_ms`.

    Queue: from the request's arrival until a place was free; prompt: from there to the first
    token; predicted: from the first token to the last.
    """
    now = time.monotonic()
    prompt = len(sequence.prompt)
    end = {
        "choices": [{"index": 0, "text": "", "finish_reason": sequence.finish_reason}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": sequence.made,
            "total_tokens": prompt + sequence.made,
        },
        "timings": {
            "queue_ms": 1000 * (sequence.started_s - sequence.arrived_s),
            "prompt_ms": 1000 * (sequence.first_s - sequence.started_s),
            "predicted_ms": 1000 * (now - sequence.first_s),
        },
    }
    return event({"object": "text_completion", **end}) + b"data: [DONE]\n\n"


def token_event(text: str) -> bytes:
    """The event of one token; its text may be empty."""
    choice = f'{{"index":0,"text":{json.dumps(text)},"finish_reason":null}}'
    return f'data: {{"object":"text_completion","choices":[{choice}]}}\n\n'.encode()


def event(content: dict[str, Any]) -> bytes:
    """Any event."""
    return b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n"
