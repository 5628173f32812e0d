"""vLLM's Kineto traces: the ranges in which it names its steps, as the phases of this library.

vLLM's worker runs each step in a range `execute_context_C(c)_generation_G(g)`: C sequences in
prefill with c tokens, G in decode with g tokens.
"""

import gzip
import re
from pathlib import Path

import msgspec

STEP = re.compile(rb'"execute_(?:\d+_)?context_(\d+)\([^"]*\)_generation_(\d+)\([^"]*"')
EVENTS = re.compile(rb'"traceEvents"\s*:\s*\[')


class _Trace(msgspec.Struct):
    events: list[msgspec.Raw] = msgspec.field(name="traceEvents")


def label_phases(trace: Path) -> None:
    """Add to each step of a trace (.json.gz) a range `phase/prefill`, `/decode` or `/mixed`.

    A step of both kinds is mixed; one without sequences gets no phase. vLLM's own ranges stay.
    The file is replaced.
    """
    content = gzip.decompress(trace.read_bytes())
    events = msgspec.json.decode(content, type=_Trace).events
    labels = [label for event in events if (label := _phase_range(bytes(event)))]
    begin = EVENTS.search(content)
    if begin is None or not labels:
        return
    head, rest = content[: begin.end()], content[begin.end() :]
    labelled = head + b"\n" + b",\n".join(labels) + b"," + rest
    partial = trace.with_suffix(".part")
    partial.write_bytes(gzip.compress(labelled, compresslevel=1))
    partial.replace(trace)


def step_of(name: str) -> tuple[int, int] | None:
    """Sequences in prefill and in decode, from the name of a step's range; `None` for others."""
    match = STEP.search(f'"{name}"'.encode())
    return (int(match[1]), int(match[2])) if match else None


def _phase_range(event: bytes) -> bytes | None:
    """A copy of a step's range under its phase's name; `None` for every other event."""
    if b'"user_annotation"' not in event:
        return None
    step = STEP.search(event)
    if step is None:
        return None
    prefill, decode = int(step[1]), int(step[2])
    if not prefill and not decode:
        return None
    phase = b"mixed" if prefill and decode else b"prefill" if prefill else b"decode"
    return STEP.sub(b'"phase/%s"' % phase, event, count=1)
