"""Ollama, as a client of a server that the user runs: `/api/generate`, without its template."""

from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import Field

from inferometer.errors import NotTestableHere, UserError
from inferometer.stacks.base import (
    GenerationRequest,
    ServerTimings,
    StreamEvent,
    Usage,
    get_json,
)
from inferometer.stacks.by_url import LENGTHS, ByUrl, ServerSettings, json_object, prompt_text

NANOSECONDS = 1e9


class OllamaSettings(ServerSettings):
    """Settings of each request; those of the server (`OLLAMA_NUM_PARALLEL`) it does not tell.

    `num_ctx` is the context that the model is loaded with, `keep_alive` how long it stays loaded.
    `digest` is the model's, as `ollama list` shows its beginning; another one is refused.
    """

    num_ctx: int = Field(default=4096, ge=16)
    keep_alive: str = "30m"
    digest: str | None = Field(default=None, min_length=12)


@dataclass(frozen=True)
class OllamaDialect:
    """Newline-delimited JSON; the prompt goes out raw, without the model's template.

    Ollama cannot be told to ignore the end of a sequence: `num_predict` is the most it makes, and
    an answer that ends before is a failed request.
    """

    settings: OllamaSettings
    closes_streams: bool = False
    data_prefix: bytes = b""

    def request(self, request: GenerationRequest) -> tuple[str, dict[str, Any]]:
        """Path and body; an answer may always stop at its end, there is nothing against it."""
        return "/api/generate", {
            "model": self.settings.model,
            "prompt": prompt_text("ollama", request),
            "raw": True,
            "stream": True,
            "keep_alive": self.settings.keep_alive,
            "options": {
                "num_predict": request.output_tokens,
                "num_ctx": self.settings.num_ctx,
                "temperature": request.temperature or 0,
                "seed": request.seed,
            },
        }

    def read_event(self, data: bytes) -> StreamEvent:
        """One line; the last one has the counts and the durations."""
        content = json_object(data)
        if "error" in content:
            return StreamEvent(error=str(content["error"]))
        text, done = content["response"], content["done"]
        if not done:
            return StreamEvent(carries_token=True, text=text)
        usage = Usage(
            prompt_tokens=content.get("prompt_eval_count"),
            completion_tokens=content.get("eval_count"),
            cached_tokens=content.get("prompt_eval_cached_count"),
        )
        return StreamEvent(
            carries_token=bool(text),
            text=text,
            finish_reason=content.get("done_reason"),
            usage=usage,
            timings=_timings(content),
            last=True,
        )

    async def tokenize(self, http: aiohttp.ClientSession, base_url: str, text: str) -> list[int]:
        """Ollama has no tokenizer to ask."""
        raise NotTestableHere("Ollama offers no tokenizer, so prompts go out as text")


class Ollama(ByUrl):
    """A server by URL; see `Stack` for the methods."""

    name = "ollama"
    settings_model: type[ServerSettings] = OllamaSettings
    health = "/api/version"

    def dialect(self, settings: Any) -> OllamaDialect:
        """Each request carries the settings."""
        return OllamaDialect(settings)

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """Version, model and digest; the context in force, once the model is loaded."""
        version = await get_json(http, base_url + "/api/version")
        listed = (await get_json(http, base_url + "/api/tags"))["models"]
        model = next((each for each in listed if _same(each["name"], settings.model)), None)
        if model is None:
            names = ", ".join(each["name"] for each in listed) or "nothing"
            raise UserError(f"ollama: {base_url} has no {settings.model!r}; it has: {names}")
        _check_digest(settings, model["digest"])
        loading = {
            "model": settings.model,
            "keep_alive": settings.keep_alive,
            "options": {"num_ctx": settings.num_ctx},
        }
        limit = aiohttp.ClientTimeout(total=180)
        async with http.post(base_url + "/api/generate", json=loading, timeout=limit) as answer:
            answer.raise_for_status()
        loaded = (await get_json(http, base_url + "/api/ps"))["models"]
        running: dict[str, Any] = next(
            (each for each in loaded if _same(each["name"], settings.model)), {}
        )
        context = running.get("context_length")  # older versions do not tell
        if context not in (None, settings.num_ctx):
            raise UserError(
                f"ollama: asked for num_ctx = {settings.num_ctx}, the model is loaded with "
                f"{context}; unload it (`ollama stop {settings.model}`), or change the SUT"
            )
        return {
            "version": version.get("version"),
            "model": model["name"],
            "digest": model["digest"],
            "details": model.get("details"),
            "context": context,
            "vram_bytes": running.get("size_vram"),
            "num_parallel": None,  # of the server's environment; no answer tells it
            "tokens": "eval_count of the server; its pieces of text need not be single tokens",
            "lengths": LENGTHS,
        }


def _same(name: str, asked: str) -> bool:
    return name in (asked, f"{asked}:latest")


def _check_digest(settings: OllamaSettings, found: str) -> None:
    asked = settings.digest
    if asked and not found.removeprefix("sha256:").startswith(asked.removeprefix("sha256:")):
        raise UserError(
            f"ollama: asked for {settings.model} with the digest {asked}, the server has {found}; "
            "pull the right one, or mend settings.digest"
        )


def _timings(content: dict[str, Any]) -> ServerTimings:
    """Nanoseconds to seconds. Ollama does not count waiting apart: it is what neither loading nor
    prompt nor answer took of the whole."""
    seconds = {
        name: None if (value := content.get(f"{name}_duration")) is None else value / NANOSECONDS
        for name in ("total", "load", "prompt_eval", "eval")
    }
    known = [value for value in seconds.values() if value is not None]
    waited = None
    if len(known) == len(seconds):
        total, *parts = known
        waited = max(0.0, total - sum(parts))
    return ServerTimings(queue_s=waited, prefill_s=seconds["prompt_eval"], decode_s=seconds["eval"])
