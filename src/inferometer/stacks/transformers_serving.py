"""Transformers as a server: its continuous batching behind a small host."""

from pathlib import Path
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from inferometer.stacks import local
from inferometer.stacks.base import Launch, answers, get_json
from inferometer.stacks.openai import OpenAIDialect
from inferometer.stacks.transformers import Transformers, torch_device_of

HOST = Path(__file__).parents[1] / "hosts" / "transformers_serving_server.py"


class TransformersServingSettings(BaseModel):
    """Settings of one server.

    `max_sequences` are decoded together (1 is a serial server), each with room for `context`
    tokens of KV cache. At most `batch_tokens` are computed in a step; longer prompts are read in
    pieces. `device` and `threads` as for the stack `transformers`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_sequences: int = Field(ge=1)
    context: int = Field(default=2048, ge=16)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    batch_tokens: int = Field(default=2048, ge=1)
    prefix_cache: bool = False
    threads: int | None = Field(default=None, ge=1)


class TransformersServing:
    """The server; see `Stack` for the methods."""

    name = "transformers_serving"
    settings_model: type[BaseModel] = TransformersServingSettings

    def environment_for(self, settings: Any) -> str:
        """As of the stack `transformers`."""
        return Transformers().environment_for(settings)

    def why_not(self, settings: Any) -> str | None:
        """A GPU that is asked for and is not there."""
        return Transformers().why_not(settings)

    def dialect(self, settings: Any) -> OpenAIDialect:
        """The host forces the length of every answer."""
        return OpenAIDialect(closes_streams=True)

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """One JSON argument carries every setting, so the command line says it all."""
        return local.hosted(python, HOST, settings, local.needed(self.name, artifact), port)

    async def ready(self, http: aiohttp.ClientSession, base_url: str) -> bool:
        """`/health` answers 200 once the model is loaded."""
        return await answers(http, base_url + "/health")

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """The facts of the loaded model and of the batching from `/props`, checked."""
        seen = await get_json(http, base_url + "/props")
        asked = {
            "device": torch_device_of(settings),
            "threads": local.threads_of(settings),
            **{
                name: getattr(settings, name)
                for name in (
                    *("max_sequences", "context", "dtype", "attention"),
                    *("batch_tokens", "prefix_cache"),
                )
            },
        }
        local.check(self.name, asked, seen)
        return seen | {"tokens": "counted by the host, one each time the library gives one"}
