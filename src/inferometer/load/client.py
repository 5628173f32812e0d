"""The streaming client: one request in, one record out, a time stamp for every token.

One pool of connections serves all agents of a session. Time is read before anything that arrived
is parsed, once for all that arrived together.
"""

import asyncio
import json
import time
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from inferometer.errors import NotTestableHere
from inferometer.load.reading import Outcome, Reading
from inferometer.records import Record
from inferometer.stacks.base import Dialect, GenerationRequest

IDLE_CONNECTION_S = 4.0
"""Idle connections are dropped before a server does: many close theirs after 5 s, and a request
that meets such a closing connection fails for no fault of the server."""

AFTER_END_S = 1.0
"""How long a server may keep the connection after the end marker before it is not reused."""

ERROR_TEXT_BYTES = 300


class StampedBody(aiohttp.BytesPayload):
    """A JSON body that takes the time just before it goes to the socket, with the head.

    So the time to the first token does not include what this client does to prepare a request,
    nor the wait for its own other requests while it does.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__(body, content_type="application/json")
        self.sent_at: float | None = None

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Called by aiohttp when the connection is there."""
        self.sent_at = time.monotonic()
        await super().write_with_length(writer, content_length)


class StreamingClient:
    """Send streaming generation requests to one server and time their tokens.

    Parameters
    ----------
    base_url
        Scheme, host and port; an IP address, so that no name is looked up.
    dialect
        How the stack's interface is spoken.
    timeout_s
        Limit for a whole request, from sending to the end of the stream.
    clock_origin
        The `time.monotonic()` value that all times of the records count from.
    """

    def __init__(
        self, base_url: str, dialect: Dialect, *, timeout_s: float, clock_origin: float
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.dialect = dialect
        self.timeout_s = timeout_s
        self.clock_origin = clock_origin
        self._http: aiohttp.ClientSession | None = None
        self._in_flight = 0
        self._urls: dict[str, URL] = {}
        self._turn_at: float | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ttl_dns_cache=None, keepalive_timeout=IDLE_CONNECTION_S
            ),
            timeout=aiohttp.ClientTimeout(),
            cookie_jar=aiohttp.DummyCookieJar(),
            # a compressed stream would arrive in other pieces than the server wrote
            headers={"Accept-Encoding": "identity", "Accept": "text/event-stream"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.http.close()
        self._http = None

    @property
    def http(self) -> aiohttp.ClientSession:
        """The pool; only inside `async with`."""
        if self._http is None:
            raise RuntimeError("StreamingClient: use it inside 'async with'")
        return self._http

    @property
    def in_flight(self) -> int:
        """Requests sent and not yet ended."""
        return self._in_flight

    def now(self) -> float:
        """Seconds on the monotonic clock since `clock_origin`."""
        return time.monotonic() - self.clock_origin

    async def generate(
        self,
        request: GenerationRequest,
        *,
        agent: int,
        sequence: int,
        scheduled_s: float | None = None,
        stream: bool = True,
        limit_s: float | None = None,
        keep_text: bool = False,
    ) -> Record:
        """Send one request, read its stream, and return its record.

        Without `stream` the answer comes whole, in one piece: its arrival is then the one stamp.
        `limit_s` is a limit for this request where it is shorter than the client's; `keep_text`
        adds the answer as `text`. An answer that may stop at its end is of any length. Whatever
        goes wrong is in the record's `status` and `error`; only cancellation raises.
        """
        begun = time.monotonic()
        path, content = self.dialect.request(request)
        if not stream:
            content = _unstreamed(content)
        url = self._urls.setdefault(path, URL(self.base_url + path))
        body = StampedBody(json.dumps(content, separators=(",", ":")).encode())
        reading = Reading(self.dialect, keep_text)
        others = self._in_flight
        self._in_flight += 1
        allowed_s = self.timeout_s if limit_s is None else min(limit_s, self.timeout_s)
        try:
            async with asyncio.timeout(allowed_s):
                outcome = await self._exchange(url, body, reading, stream)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            outcome = self._fault(error, reading, allowed_s)
        finally:
            self._in_flight -= 1
        sent = begun if body.sent_at is None else body.sent_at
        if outcome.status == "ok" and not request.stop_at_end:
            outcome = reading.verdict(request.output_tokens)
        return {
            "kind": "request",
            "agent": agent,
            "sequence": sequence,
            "seed": request.seed,
            "scheduled_s": None if scheduled_s is None else round(scheduled_s, 6),
            "begun_s": round(begun - self.clock_origin, 6),
            "sent_s": round(sent - self.clock_origin, 6),
            "in_flight_at_send": others,
            "prompt_tokens_asked": None if isinstance(request.prompt, str) else len(request.prompt),
            "output_tokens_asked": request.output_tokens,
            **reading.fields(sent, self.clock_origin),
            "status": outcome.status,
            "error": outcome.error,
        }

    def _arrival(self) -> float:
        """The time of this turn of the event loop: of all that arrived before it began.

        With many streams, pieces arrive together and are read one after the other; each would
        else be stamped with the time that reading the ones before it took.
        """
        if self._turn_at is None:
            self._turn_at = time.monotonic()
            asyncio.get_running_loop().call_soon(self._end_turn)
        return self._turn_at

    def _end_turn(self) -> None:
        self._turn_at = None

    async def _exchange(
        self, url: URL, body: StampedBody, reading: Reading, stream: bool
    ) -> Outcome:
        """Post and read up to the end marker, or to what breaks the stream."""
        # a server that closes after each stream without saying so would break the next request
        headers = {"Connection": "close"} if self.dialect.closes_streams else None
        async with self.http.post(url, data=body, headers=headers) as response:
            if response.status != 200:
                text = (await response.content.read(ERROR_TEXT_BYTES)).decode(errors="replace")
                response.close()
                return Outcome("http_error", f"HTTP {response.status}: {text.strip()}")
            if not stream:
                whole = await response.read()
                return _read_whole(whole, time.monotonic(), reading)
            read = response.content.readany
            while chunk := await read():
                failure = reading.take(chunk, self._arrival())
                if failure:
                    response.close()  # the rest of this stream is of no use
                    return failure
                if reading.ended_at is not None:
                    await _drain(response)
                    return Outcome("ok")
            return reading.finish(time.monotonic())

    def _fault(self, error: Exception, reading: Reading, allowed_s: float) -> Outcome:
        """The outcome that an exception stands for."""
        if reading.ended_at is not None:
            return Outcome("ok")  # the answer was complete; only the connection was lost after it
        text = f"{type(error).__name__}: {error}".rstrip(": ")[:ERROR_TEXT_BYTES]
        if isinstance(error, TimeoutError):
            return Outcome("timeout", f"no end of the answer within {allowed_s:.3g} s")
        if isinstance(error, aiohttp.ClientConnectorError):
            return Outcome("refused", text)
        if isinstance(
            error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | OSError
        ):
            return Outcome("disconnected", text)
        return Outcome("bad_response", text)


def _unstreamed(content: dict[str, Any]) -> dict[str, Any]:
    """The body of a request for a whole answer."""
    if content.get("stream") is not True:
        raise NotTestableHere("this stack's requests have no `stream` to turn off")
    kept = {name: value for name, value in content.items() if name != "stream_options"}
    return kept | {"stream": False}


def _read_whole(body: bytes, stamp: float, reading: Reading) -> Outcome:
    """Read a whole answer as the one event of a stream."""
    # line ends in JSON are mere space: inside texts they are escaped
    failure = reading.take(b"data: " + body.replace(b"\n", b" ") + b"\n", stamp)
    if failure:
        return failure
    reading.ended_at = stamp
    return Outcome("ok")


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read what follows the end marker, so that the connection can be used again."""
    try:
        async with asyncio.timeout(AFTER_END_S):
            while await response.content.readany():
                pass
    except TimeoutError:
        response.close()
