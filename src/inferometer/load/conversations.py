"""Conversations of several turns: what a growing history costs, and what a window saves."""

from collections.abc import Sequence
from typing import Literal

from inferometer.load.loop_result import content_reasons
from inferometer.records import Record
from inferometer.session import CellOutcome, CellRun
from inferometer.stacks.base import GenerationRequest

History = Literal["full", "window"]


def kept(turn: int, history: str, window: int, prompt_tokens: int, output_tokens: int) -> slice:
    """The part of a conversation that a turn (from 1) sends, in tokens.

    A conversation is question, answer, question, ... The full history sends all up to the turn's
    own question; a window sends the last `window` questions with the answers between them.
    """
    pair = prompt_tokens + output_tokens
    first = 0 if history == "full" else max(0, turn - window) * pair
    return slice(first, turn * pair - output_tokens)


async def measure_conversations(
    run: CellRun, *, turns: int, history: str, window: int
) -> CellOutcome:
    """Hold `conversations` one after the other, each turn after the answer to the one before.

    The text of a conversation is drawn ahead, the answers in it too: speed does not depend on the
    words, and both histories then send the same ones. Conversations share nothing. A request's
    `sequence` counts turns from 0, its `agent` is the conversation.
    """
    (sut,) = run.suts
    prompt_tokens, output_tokens = run.effort.prompt_tokens, run.effort.output_tokens
    whole = turns * (prompt_tokens + output_tokens)
    records: list[Record] = []
    for conversation in range(run.effort.conversations):
        text = sut.prompts.prompt(whole, run.first_index + conversation)
        for turn in range(1, turns + 1):
            part = kept(turn, history, window, prompt_tokens, output_tokens)
            request = GenerationRequest(_cut(text, part), output_tokens, seed=turn)
            record = await sut.client.generate(request, agent=conversation, sequence=turn - 1)
            records.append({**record, "server": 0})
            run.append(records[-1])
            if record["status"] != "ok":
                why = f"turn {turn}: {record['status']}: {record['error']}"
                used = conversation + 1
                return CellOutcome(None, None, [why], prompts_used=used, restart=True)
    reasons = content_reasons(records)
    return CellOutcome(None, None, reasons, prompts_used=run.effort.conversations)


def _cut(text: Sequence[int] | str, part: slice) -> list[int] | str:
    """Some tokens of a prompt: its ids, or its words where it is a text."""
    return " ".join(text.split()[part]) if isinstance(text, str) else list(text[part])
