"""Any OpenAI-compatible server that the user already runs, by its URL."""

from pathlib import Path
from typing import Any

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from inferometer.errors import UserError
from inferometer.stacks.base import Launch, answers
from inferometer.stacks.openai import OpenAIDialect


class UrlSettings(BaseModel):
    """Where the server is and which of its models to ask.

    `extra` is sent with each request; the default asks for a forced output length in the words
    of llama.cpp and vLLM.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^https?://[^/]+$")
    model: str
    extra: dict[str, Any] = {"ignore_eos": True}
    tokenize_path: str | None = "/tokenize"


class Url:
    """A server by URL: started, warmed and stopped by its user; we only drive it."""

    name = "url"
    settings_model: type[BaseModel] = UrlSettings

    def environment_for(self, settings: Any) -> None:
        """The user's own server has its own."""
        return

    def why_not(self, settings: Any) -> None:
        """Whether it is there shows when it is asked."""
        return

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """Nothing is started: the command is empty."""
        return Launch(command=[], base_url=settings.url)

    def dialect(self, settings: Any) -> OpenAIDialect:
        """The dialect with the user's model and extra fields in each request."""
        extra = {"model": settings.model, **settings.extra}
        return OpenAIDialect(
            extra=extra,
            tokenize_path=settings.tokenize_path,
            closes_streams=True,  # unknown, and a connection more costs less than a lost request
        )

    async def ready(self, http: aiohttp.ClientSession, base_url: str) -> bool:
        """`/v1/models` answers 200."""
        return await answers(http, base_url + "/v1/models")

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """The model list; `UserError` when the configured model is not in it."""
        async with http.get(base_url + "/v1/models") as answer:
            answer.raise_for_status()
            models = [entry.get("id") for entry in (await answer.json()).get("data", [])]
        if settings.model not in models:
            raise UserError(
                f"url: {base_url} does not serve {settings.model!r}; it serves: "
                f"{', '.join(map(str, models)) or 'nothing'}"
            )
        return {"models": models, "settings_verified": "by URL: only the model's name"}
