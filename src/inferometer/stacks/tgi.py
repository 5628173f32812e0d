"""Text Generation Inference, as a client of a server that the user runs: `/generate_stream`."""

from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import Field

from inferometer.errors import NotTestableHere, UserError
from inferometer.stacks.base import GenerationRequest, StreamEvent, Usage, get_json
from inferometer.stacks.by_url import LENGTHS, ByUrl, ServerSettings, json_object, prompt_text

TOLD = (
    *("model_id", "model_sha", "model_dtype", "model_device_type", "version", "sha"),
    *("docker_label", "max_concurrent_requests", "max_input_tokens", "max_total_tokens"),
    *("max_batch_total_tokens", "max_batch_size", "waiting_served_ratio"),
)


class TgiSettings(ServerSettings):
    """`model` is the id that `/info` gives; `sha` its revision, if it is to be checked."""

    sha: str | None = Field(default=None, min_length=7)


@dataclass(frozen=True)
class TgiDialect:
    """Server-sent events, one a token; the last one has the details and no end marker follows.

    TGI cannot be told to ignore the end of a sequence, nor takes it a least length: an answer that
    ends before `max_new_tokens` is a failed request. Its streams carry no timings.
    """

    closes_streams: bool = False
    data_prefix: bytes = b"data:"

    def request(self, request: GenerationRequest) -> tuple[str, dict[str, Any]]:
        """Path and body, with details; an answer may always stop at its end."""
        return "/generate_stream", {
            "inputs": prompt_text("tgi", request),
            "parameters": {
                "max_new_tokens": request.output_tokens,
                "do_sample": request.temperature > 0,
                **({"temperature": request.temperature} if request.temperature > 0 else {}),
                "details": True,
                "decoder_input_details": False,
                "seed": request.seed,
            },
        }

    def read_event(self, data: bytes) -> StreamEvent:
        """One token; the last one brings the counts."""
        content = json_object(data)
        if "error" in content:
            return StreamEvent(error=str(content["error"]))
        text, details = content["token"]["text"], content.get("details")
        if content.get("generated_text") is None:
            return StreamEvent(carries_token=True, text=text)
        details = details or {}
        return StreamEvent(
            carries_token=True,
            text=text,
            finish_reason=details.get("finish_reason"),
            usage=Usage(
                prompt_tokens=details.get("input_length"),
                completion_tokens=details.get("generated_tokens"),
            ),
            last=True,
        )

    async def tokenize(self, http: aiohttp.ClientSession, base_url: str, text: str) -> list[int]:
        """Not used: TGI tokenizes, but its prompts are texts, whose length it decides anew."""
        raise NotTestableHere("TGI takes no token ids, so prompts go out as text")


class Tgi(ByUrl):
    """A server by URL; see `Stack` for the methods."""

    name = "tgi"
    settings_model: type[ServerSettings] = TgiSettings
    health = "/health"

    def dialect(self, settings: Any) -> TgiDialect:
        """The same for all settings: a server has one model."""
        return TgiDialect()

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """Model, version and limits from `/info`; `UserError` for another model."""
        info = await get_json(http, base_url + "/info")
        if info["model_id"] != settings.model:
            raise UserError(
                f"tgi: {base_url} serves {info['model_id']!r}, not {settings.model!r}; mend "
                "settings.model or settings.url"
            )
        if settings.sha and not str(info.get("model_sha")).startswith(settings.sha):
            raise UserError(
                f"tgi: asked for {settings.model} at {settings.sha}, the server has "
                f"{info.get('model_sha')}; mend settings.sha or start it with that revision"
            )
        return {name: info.get(name) for name in TOLD} | {
            "tokens": "generated_tokens of the server; one event a token",
            "lengths": LENGTHS,
        }
