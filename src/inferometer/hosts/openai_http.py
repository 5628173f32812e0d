"""An OpenAI-compatible server of streamed completions, of the standard library alone.

Shared by the hosts whose engines bring no server. What it costs the inference: while tokens are
made, no thread of the server runs. Threads take requests in and then sleep in the kernel until the
client hangs up; the inference thread itself writes each token between two steps, one `send` a
token, and never waits for a client.

The limit of sequences is kept here, first come first served: so it holds whatever the engine's
own scheduler does, and the time in the queue is known.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from json_http import BadRequest, JsonHandler, listen
from openai_stream import Sequence, closing, event, token_event

FLUSH_LIMIT_S = 5.0
"""How long a client that reads slowly may take for the rest of its answer."""


class TokenText(Protocol):
    """A model's tokenizer, as far as a server needs it."""

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without special tokens."""

    def piece(self, token: int) -> bytes:
        """The bytes of UTF-8 text that one token stands for."""


class Engine(Protocol):
    """Continuous batching, one step at a time; used by the inference thread only."""

    def add(self, key: int, prompt: list[int], output_tokens: int) -> None:
        """Take a sequence in; it generates exactly `output_tokens`, end-of-sequence or not."""

    def cancel(self, key: int) -> None:
        """Forget a sequence and free its cache."""

    def step(self) -> Iterable[tuple[int, int]]:
        """Run one step of the batch: (key, token id) for each token it made."""


@dataclass
class Served:
    """What is served: facts for `/props`, and what a request may ask for."""

    model: str
    props: dict[str, Any]
    text: TokenText
    vocabulary: int
    context: int
    max_sequences: int
    ends: frozenset[int] = frozenset()
    """Tokens that end an answer whose request says `ignore_eos: false`."""


class Server:
    """The listening socket, and the requests that wait for the inference thread."""

    def __init__(self, host: str, port: int) -> None:
        self.served: Served | None = None
        self.arrivals: queue.SimpleQueue[Sequence] = queue.SimpleQueue()
        self.counter = 0
        self._count = threading.Lock()
        listen(host, port, _handler(self))

    def serve(self, engine: Engine, served: Served) -> None:
        """Answer requests in this thread for ever; an engine that fails ends the process."""
        self.served = served
        waiting: deque[Sequence] = deque()
        active: dict[int, Sequence] = {}
        try:
            while True:
                self._take(waiting, block=not (waiting or active))
                _admit(engine, waiting, active, served.max_sequences)
                if active:
                    for key in _deliver(engine.step(), active, served.text):
                        engine.cancel(key)
                for key in [key for key, sequence in active.items() if sequence.gone]:
                    engine.cancel(key)
                    active.pop(key).finish(b"")
        except Exception as error:
            self._take(waiting, block=False)
            failed = event({"error": {"message": f"{type(error).__name__}: {error}"}})
            for sequence in [*active.values(), *waiting]:
                sequence.finish(failed)
            raise

    def new_key(self) -> int:
        """A number for a request."""
        with self._count:
            self.counter += 1
            return self.counter

    def _take(self, waiting: deque[Sequence], block: bool) -> None:
        if block:
            waiting.append(self.arrivals.get())
        with suppress(queue.Empty):
            while True:
                waiting.append(self.arrivals.get_nowait())


def _admit(
    engine: Engine, waiting: deque[Sequence], active: dict[int, Sequence], limit: int
) -> None:
    while waiting and len(active) < limit:
        sequence = waiting.popleft()
        if sequence.gone:
            sequence.finish(b"")
            continue
        sequence.started_s = time.monotonic()
        active[sequence.key] = sequence
        engine.add(sequence.key, sequence.prompt, sequence.output_tokens)


def _deliver(
    made: Iterable[tuple[int, int]], active: dict[int, Sequence], text: TokenText
) -> list[int]:
    """Write each token to its client, and the end of a sequence with its last token.

    Returns the keys of the sequences that ended before the length that their engine makes; the
    token that ends one is counted, and no text.
    """
    early = []
    for key, token in made:
        sequence = active.get(key)
        if sequence is None:
            continue  # made in the same step, after the end of the answer
        sequence.made += 1
        if token in sequence.ends:
            sequence.finish_reason = "stop"
            sequence.finish(closing(sequence))
            del active[key]
            early += [key] if sequence.made < sequence.output_tokens else []
            continue
        if sequence.made == 1:
            sequence.first_s = time.monotonic()
        last = sequence.made == sequence.output_tokens
        data = token_event(sequence.decoder.decode(text.piece(token), last))
        if not last:
            sequence.send(data)
            continue
        del active[key]
        sequence.finish(data + closing(sequence))
    return early


def _handler(server: Server) -> type[JsonHandler]:
    class Handler(JsonHandler):
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            served = server.served
            if served is None:
                self.answer(503, {"error": "the model is being loaded"})
            elif self.path == "/health":
                self.answer(200, {"status": "ok"})
            elif self.path == "/props":
                self.answer(200, served.props)
            elif self.path == "/v1/models":
                self.answer(200, {"object": "list", "data": [{"id": served.model}]})
            else:
                self.answer(404, {"error": f"{self.path}: no such path"})

        def do_POST(self) -> None:
            arrived_s = time.monotonic()
            served = server.served
            try:
                body = self.read()
                if served is None:
                    self.answer(503, {"error": "the model is being loaded"})
                elif self.path == "/tokenize":
                    self.answer(200, {"tokens": served.text.encode(_text_of(body))})
                elif self.path == "/v1/completions":
                    prompt, output_tokens = _asked(body, served)
                    forced = body.get("ignore_eos", True)
                    sequence = Sequence(
                        *(server.new_key(), prompt, output_tokens, self.connection, arrived_s),
                        ends=frozenset() if forced else served.ends,
                    )
                    self._stream(sequence)
                else:
                    self.answer(404, {"error": f"{self.path}: no such path"})
            except BadRequest as error:
                self.answer(400, {"error": {"message": str(error)}})

        def _stream(self, sequence: Sequence) -> None:
            """Hand the connection to the inference thread; sleep until its end or the client's."""
            self.close_connection = True
            head = (
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                "Cache-Control: no-cache\r\nConnection: close\r\n\r\n"
            )
            sequence.pending = head.encode()  # goes out with the first token
            server.arrivals.put(sequence)
            with suppress(OSError):
                self.connection.recv(1)
            sequence.gone = sequence.made < sequence.output_tokens and not sequence.over
            with suppress(OSError):
                self.connection.settimeout(FLUSH_LIMIT_S)
                if not sequence.gone and sequence.pending:
                    self.connection.sendall(sequence.pending)

    return Handler


def _text_of(body: dict[str, Any]) -> str:
    text = body.get("content", body.get("prompt"))
    if not isinstance(text, str):
        raise BadRequest("content: must be a text")
    return text


def _asked(body: dict[str, Any], served: Served) -> tuple[list[int], int]:
    """Prompt ids and forced length of a completion; what is not served is refused."""
    prompt, output_tokens = body.get("prompt"), body.get("max_tokens", 16)
    if body.get("stream") is not True:
        raise BadRequest("stream: this server only streams; send true")
    if body.get("temperature", 0) != 0:
        raise BadRequest("temperature: this server decodes greedily; send 0")
    if isinstance(prompt, str):
        prompt = served.text.encode(prompt)
    if not isinstance(prompt, list) or not prompt:
        raise BadRequest("prompt: must be a text or a list of token ids")
    if not all(type(token) is int and 0 <= token < served.vocabulary for token in prompt):
        raise BadRequest(f"prompt: token ids must be from 0 to {served.vocabulary - 1}")
    if type(output_tokens) is not int or output_tokens < 1:
        raise BadRequest("max_tokens: must be a whole number from 1 on")
    if len(prompt) + output_tokens > served.context:
        raise BadRequest(
            f"{len(prompt)} + {output_tokens} tokens are more than the context of {served.context}"
        )
    return prompt, output_tokens
