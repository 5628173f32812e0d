"""Transformers in process: a worker with prefill and decode apart, in an environment of its own."""

from pathlib import Path
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from inferometer.stacks import local
from inferometer.stacks.base import Launch, answers, get_json

HOST = Path(__file__).parents[1] / "hosts" / "transformers_worker.py"


class TransformersSettings(BaseModel):
    """Settings of one worker.

    `device` auto is the first NVIDIA GPU where there is one, the CPU elsewhere. `threads` None
    means one per core that this process may use. Compiled code starts from a cold compiler cache in
    every process; with `dynamic_shapes` it is compiled for any length from the start, without it
    for the first length and, at the second, for any. `memory_limit_mib` limits what the worker may
    allocate (RLIMIT_DATA, weights included); an allocation beyond it is a record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    compile: Literal["none", "default", "reduce-overhead"] = "none"
    dynamic_shapes: bool = True
    cache: Literal["dynamic", "static"] = "dynamic"
    threads: int | None = Field(default=None, ge=1)
    memory_limit_mib: int | None = Field(default=None, ge=256)


class Transformers:
    """The worker; see `Stack` for the methods."""

    name = "transformers"
    settings_model: type[BaseModel] = TransformersSettings

    def environment_for(self, settings: Any) -> str:
        """The build of torch that the device needs."""
        return "transformers-cuda" if local.device_of(settings) == "cuda" else "transformers"

    def why_not(self, settings: Any) -> str | None:
        """A GPU that is asked for and is not there."""
        return local.why_no_gpu(settings)

    def dialect(self, settings: Any) -> None:
        """A worker is not spoken to as a server: see stacks/worker.py."""
        return

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """One JSON argument carries every setting, so the command line says it all."""
        return local.hosted(python, HOST, settings, local.needed(self.name, artifact), port)

    async def ready(self, http: aiohttp.ClientSession, base_url: str) -> bool:
        """`/health` answers 200 once the model is loaded."""
        return await answers(http, base_url + "/health")

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """The facts of the loaded model from `/props`, checked against the settings."""
        seen = await get_json(http, base_url + "/props")
        asked = {
            "device": torch_device_of(settings),
            "dtype": settings.dtype,
            "attention": settings.attention,
            "compile": settings.compile,
            "dynamic_shapes": settings.dynamic_shapes,
            "cache_kind": settings.cache,
            "threads": local.threads_of(settings),
        }
        # without a limit of ours, the user's own may be in force
        if settings.memory_limit_mib is not None:
            asked["memory_limit_mib"] = settings.memory_limit_mib
        local.check(self.name, asked, seen)
        return seen


def torch_device_of(settings: Any) -> str:
    """The device that the settings mean on this machine, in the words of torch."""
    return "cuda:0" if local.device_of(settings) == "cuda" else "cpu"
