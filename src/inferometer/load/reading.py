"""What one streamed answer said: tokens with their arrival, usage, timings, and a verdict."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from inferometer.load.sse import DataLines
from inferometer.stacks.base import Dialect, ServerTimings, StreamEvent, Usage

Status = Literal[
    "ok", "http_error", "server_error", "bad_response", "disconnected", "timeout", "refused"
]


@dataclass(frozen=True)
class Outcome:
    """How a request ended; `error` is a short text unless the status is `ok`."""

    status: Status
    error: str | None = None


class Reading:
    """Take the pieces of one answer as they arrive.

    `ended_at` is the monotonic time of the end marker, `None` before it. `keep_text` puts the text
    into the record.
    """

    def __init__(self, dialect: Dialect, keep_text: bool = False) -> None:
        self._read_event = dialect.read_event
        self._lines = DataLines(dialect.data_prefix)
        self._opening = b""
        self._token_stamps: list[float] = []
        self._usage = Usage()
        self._timings = ServerTimings()
        self._finish_reason: str | None = None
        self._texts: list[str] | None = [] if keep_text else None
        self.ended_at: float | None = None

    def take(self, chunk: bytes, stamp: float) -> Outcome | None:
        """Read a piece that arrived at `stamp`; an outcome when the stream is of no use."""
        if not self._opening:
            self._opening = chunk[:80]
        try:
            for payload in self._lines.feed(chunk):
                if self.ended_at is not None:
                    break  # nothing after the end marker belongs to the answer
                event = self._read_event(payload)
                if event is None:
                    self.ended_at = stamp
                elif event.error is not None:
                    return Outcome("server_error", event.error[:300])
                else:
                    self._note(event, stamp)
                    if event.last:
                        self.ended_at = stamp
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            return Outcome("bad_response", f"unreadable event: {error}"[:300])
        return None

    def finish(self, stamp: float) -> Outcome:
        """The stream was closed in good order; say whether the answer was complete."""
        failure = self.take(b"\n", stamp)  # the last line may lack its end
        if failure or self.ended_at is not None:
            return failure or Outcome("ok")
        seen = f"{len(self._token_stamps)} token events"
        if not self._token_stamps:
            seen = f"no token; it began with {self._opening.decode(errors='replace').strip()!r}"
        return Outcome("bad_response", f"the stream ended without its end marker after {seen}")

    def verdict(self, output_tokens: int) -> Outcome:
        """Whether a stream that reached its end marker gave the length that was forced."""
        events = len(self._token_stamps)
        if not events:
            return Outcome("bad_response", "the stream ended without a token")
        counted = self._usage.completion_tokens
        if counted is None and events < output_tokens:
            return Outcome(
                "bad_response",
                f"{events} token events for {output_tokens} tokens, and no usage to count by",
            )
        if counted is not None and counted < output_tokens:
            return Outcome("bad_response", f"{counted} tokens where {output_tokens} were forced")
        return Outcome("ok")

    def fields(self, sent: float, origin: float) -> dict[str, Any]:
        """The record's fields; `sent` and `origin` are monotonic times."""
        token_us = [round((stamp - sent) * 1e6) for stamp in self._token_stamps]
        counted = self._usage.completion_tokens
        first, last = (token_us[0], token_us[-1]) if token_us else (None, None)
        ended = None if self.ended_at is None else round((self.ended_at - sent) * 1e6)

        def instant(us: int | None) -> float | None:
            return None if us is None else round(sent - origin + us / 1e6, 6)

        return {
            "first_token_s": instant(first),
            "last_token_s": instant(last),
            "done_s": instant(ended),
            "token_us": token_us,
            "prompt_tokens": self._usage.prompt_tokens,
            "completion_tokens": counted,
            "cached_tokens": self._usage.cached_tokens,
            "tokens_agree": None if counted is None else counted == len(token_us),
            "server_queue_s": _finite(self._timings.queue_s),
            "server_prefill_s": _finite(self._timings.prefill_s),
            "server_decode_s": _finite(self._timings.decode_s),
            "finish_reason": self._finish_reason,
            **({} if self._texts is None else {"text": "".join(self._texts)}),
        }

    def _note(self, event: StreamEvent, stamp: float) -> None:
        if event.carries_token:
            self._token_stamps.append(stamp)
        if self._texts is not None:
            self._texts.append(event.text)
        if event.finish_reason is not None:
            self._finish_reason = event.finish_reason
        if event.usage is not None:
            self._usage = event.usage
        if event.timings is not None:
            self._timings = event.timings


def _finite(seconds: float | None) -> float | None:
    """A server's duration, or `None` where it is none: records refuse NaN and infinity."""
    return seconds if seconds is not None and math.isfinite(seconds) else None
