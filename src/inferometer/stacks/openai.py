"""The OpenAI completions dialect with token-id prompts, as llama.cpp and vLLM speak it."""

import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from inferometer.errors import NotTestableHere
from inferometer.stacks.base import GenerationRequest, ServerTimings, StreamEvent, Usage


@dataclass(frozen=True)
class OpenAIDialect:
    """Streaming `/v1/completions`.

    Completions rather than chat: the prompt reaches the model as it is, without a template, so
    its length is exact. `extra` holds the fields by which a stack forces the output length.
    """

    extra: dict[str, Any] = field(default_factory=dict)
    tokenize_path: str | None = "/tokenize"
    closes_streams: bool = False
    data_prefix: bytes = b"data:"

    def request(self, request: GenerationRequest) -> tuple[str, dict[str, Any]]:
        """Path and body; usage reported at the end of the stream."""
        prompt = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
        return "/v1/completions", {
            "prompt": prompt,
            "max_tokens": request.output_tokens,
            "temperature": request.temperature or 0,
            "seed": request.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.extra,
            **({"ignore_eos": False} if request.stop_at_end else {}),
        }

    def read_event(self, data: bytes) -> StreamEvent | None:
        """One event; `ValueError` when it is not a completion chunk."""
        if data.strip() == b"[DONE]":
            return None
        content = json.loads(data)
        if not isinstance(content, dict):
            raise ValueError("event is not a JSON object")
        if error := content.get("error"):
            message = error.get("message") if isinstance(error, dict) else error
            return StreamEvent(error=str(message))
        choices = content.get("choices")
        if not isinstance(choices, list):
            raise ValueError("event has neither choices nor error")
        choice = choices[0] if choices else {}
        finish = choice.get("finish_reason")
        text = choice.get("text") or ""
        return StreamEvent(
            # servers close with an empty chunk that only carries the finish reason
            carries_token=bool(choices) and (bool(text) or finish is None),
            text=text,
            finish_reason=finish,
            usage=_usage(content.get("usage")),
            timings=_timings(content.get("timings")),
        )

    async def tokenize(self, http: aiohttp.ClientSession, base_url: str, text: str) -> list[int]:
        """Token ids by the server's own tokenizer, without special tokens."""
        if self.tokenize_path is None:
            raise NotTestableHere("this server offers no tokenizer, so prompts go out as text")
        # llama.cpp reads `content`, vLLM `prompt`
        body = {"content": text, "prompt": text, "add_special": False, "add_special_tokens": False}
        async with http.post(base_url + self.tokenize_path, json=body) as answer:
            if answer.status in (404, 405, 501):
                raise NotTestableHere("this server offers no tokenizer, so prompts go out as text")
            answer.raise_for_status()
            tokens = (await answer.json(content_type=None)).get("tokens")
        if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
            raise NotTestableHere("this server's tokenizer answers with something else than ids")
        return tokens


def _usage(content: Any) -> Usage | None:
    if not isinstance(content, dict):
        return None
    details = content.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=content.get("prompt_tokens"),
        completion_tokens=content.get("completion_tokens"),
        cached_tokens=details.get("cached_tokens"),
    )


def _timings(content: Any) -> ServerTimings | None:
    """llama.cpp's `timings`, in milliseconds; `queue_ms` is of our own hosts, it has none."""
    if not isinstance(content, dict):
        return None
    return ServerTimings(
        queue_s=_seconds(content.get("queue_ms")),
        prefill_s=_seconds(content.get("prompt_ms")),
        decode_s=_seconds(content.get("predicted_ms")),
    )


def _seconds(milliseconds: Any) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None
