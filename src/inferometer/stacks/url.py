"""Any OpenAI-compatible server that the user already runs, by its URL."""

from typing import Any

import aiohttp
from pydantic import Field

from inferometer.errors import UserError
from inferometer.stacks.base import get_json
from inferometer.stacks.by_url import ByUrl, ServerSettings
from inferometer.stacks.openai import OpenAIDialect


class UrlSettings(ServerSettings):
    """Where the server is and which of its models to ask.

    `extra` is sent with each request; the default asks for a forced output length in the words
    of llama.cpp and vLLM.
    """

    extra: dict[str, Any] = Field(default={"ignore_eos": True})
    tokenize_path: str | None = "/tokenize"


class Url(ByUrl):
    """A server by URL: started, warmed and stopped by its user; we only drive it."""

    name = "url"
    settings_model: type[ServerSettings] = UrlSettings
    health = "/v1/models"

    def why_not(self, settings: Any) -> None:
        """Whether it is there shows when it is asked."""
        return

    def dialect(self, settings: Any) -> OpenAIDialect:
        """The dialect with the user's model and extra fields in each request."""
        extra = {"model": settings.model, **settings.extra}
        return OpenAIDialect(
            extra=extra,
            tokenize_path=settings.tokenize_path,
            closes_streams=True,  # unknown, and a connection more costs less than a lost request
        )

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """The model list; `UserError` when the configured model is not in it."""
        listed = await get_json(http, base_url + "/v1/models")
        models = [entry.get("id") for entry in listed.get("data", [])]
        if settings.model not in models:
            raise UserError(
                f"url: {base_url} does not serve {settings.model!r}; it serves: "
                f"{', '.join(map(str, models)) or 'nothing'}"
            )
        return {"models": models, "settings_verified": "by URL: only the model's name"}
