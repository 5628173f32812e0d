"""OpenVINO GenAI: its continuous batching behind a small host, in an environment of its own."""

from pathlib import Path
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from inferometer.stacks import local
from inferometer.stacks.base import Launch, answers, get_json
from inferometer.stacks.openai import OpenAIDialect

HOST = Path(__file__).parents[1] / "hosts" / "openvino_server.py"
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class OpenVinoSettings(BaseModel):
    """Settings of one server.

    `max_sequences` are decoded together (1 is a serial server). Prompts beyond `batch_tokens` are
    read in pieces; with `split_prompts` a step mixes such pieces with decoding, as OpenVINO does
    by default. `dtype` is the precision of arithmetic, as far as the processor offers it.
    `cache_size_gib` of KV cache are shared by all sequences. `threads` None means one per core
    that this process may use.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_sequences: int = Field(ge=1)
    context: int = Field(default=8192, ge=16)
    cache_size_gib: int = Field(default=1, ge=1)
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    kv_cache_precision: Literal["f32", "f16", "bf16", "u8"] = "f16"
    batch_tokens: int = Field(default=256, ge=1)
    split_prompts: bool = True
    prefix_cache: bool = False
    threads: int | None = Field(default=None, ge=1)


class OpenVino:
    """The server; see `Stack` for the methods."""

    name = "openvino"
    settings_model: type[BaseModel] = OpenVinoSettings

    def environment_for(self, settings: Any) -> str:
        """One environment for all settings."""
        return "openvino"

    def why_not(self, settings: Any) -> None:
        """A precision that the processor does not offer shows when it is read back."""
        return

    def dialect(self, settings: Any) -> OpenAIDialect:
        """The host forces the length of every answer."""
        return OpenAIDialect(closes_streams=True)

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """One JSON argument carries every setting, so the command line says it all."""
        return local.hosted(python, HOST, settings, local.needed(self.name, artifact), port)

    async def ready(self, http: aiohttp.ClientSession, base_url: str) -> bool:
        """`/health` answers 200 once the model is compiled."""
        return await answers(http, base_url + "/health")

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """What OpenVINO printed of the compiled model and its scheduler, checked."""
        seen = await get_json(http, base_url + "/props")
        compiled, scheduler = seen["compiled"], seen["scheduler"]
        pairs = {
            "max_sequences": (settings.max_sequences, seen["max_sequences"]),
            "context": (settings.context, seen["context"]),
            "dtype": (PRECISIONS[settings.dtype], compiled["INFERENCE_PRECISION_HINT"]),
            "kv_cache_precision": (settings.kv_cache_precision, compiled["KV_CACHE_PRECISION"]),
            "threads": (str(local.threads_of(settings)), compiled["INFERENCE_NUM_THREADS"]),
            "cache_size_gib": (str(settings.cache_size_gib), scheduler["cache_size"]),
            "batch_tokens": (str(settings.batch_tokens), scheduler["max_num_batched_tokens"]),
            "split_prompts": (_word(settings.split_prompts), scheduler["dynamic_split_fuse"]),
            "prefix_cache": (_word(settings.prefix_cache), scheduler["enable_prefix_caching"]),
        }
        asked = {name: pair[0] for name, pair in pairs.items()}
        local.check(self.name, asked, {name: pair[1] for name, pair in pairs.items()})
        return seen | {"tokens": "counted by the host, one each time the pipeline gives one"}


def _word(value: bool) -> str:
    return "true" if value else "false"
