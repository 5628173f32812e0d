"""Transformers in process: a worker with prefill and decode apart, in an environment of its own."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from inferometer import machine
from inferometer.errors import UserError
from inferometer.stacks.base import Launch, answers

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
        return "transformers-cuda" if device_of(settings) == "cuda" else "transformers"

    def why_not(self, settings: Any) -> str | None:
        """A GPU that is asked for and is not there."""
        if settings.device == "cuda" and not _has_gpu():
            return "it asks for an NVIDIA GPU, and this machine has none that answers"
        return None

    def dialect(self, settings: Any) -> None:
        """A worker is not spoken to as a server: see stacks/worker.py."""
        return

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """One JSON argument carries every setting, so the command line says it all."""
        if artifact is None:
            raise UserError("transformers: a SUT of this stack needs an artifact")
        options = settings.model_dump() | {
            "device": device_of(settings),
            "threads": threads_of(settings),
            "model": str(artifact),
            "host": "127.0.0.1",
            "port": port,
        }
        command = [str(python), str(HOST), json.dumps(options)]
        return Launch(command=command, base_url=f"http://127.0.0.1:{port}")

    async def ready(self, http: aiohttp.ClientSession, base_url: str) -> bool:
        """`/health` answers 200 once the model is loaded."""
        return await answers(http, base_url + "/health")

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """The facts of the loaded model from `/props`, checked against the settings."""
        async with http.get(base_url + "/props") as answer:
            answer.raise_for_status()
            seen = await answer.json()
        asked = {
            "device": "cuda:0" if device_of(settings) == "cuda" else "cpu",
            "dtype": settings.dtype,
            "attention": settings.attention,
            "compile": settings.compile,
            "dynamic_shapes": settings.dynamic_shapes,
            "cache_kind": settings.cache,
            "threads": threads_of(settings),
            "memory_limit_mib": settings.memory_limit_mib,
        }
        for name, value in asked.items():
            # without a limit of ours, the user's own may be in force
            if seen[name] != value and not (name == "memory_limit_mib" and value is None):
                raise UserError(
                    f"transformers: asked for {name} = {value}, the worker runs with "
                    f"{seen[name]}; this model or this machine does not offer it: change the SUT"
                )
        return seen


def device_of(settings: TransformersSettings) -> Literal["cpu", "cuda"]:
    """The device that the settings mean on this machine."""
    if settings.device != "auto":
        return settings.device
    return "cuda" if _has_gpu() else "cpu"


def threads_of(settings: TransformersSettings) -> int:
    """The number of threads that the settings mean on this machine."""
    return settings.threads or len(os.sched_getaffinity(0))


@cache
def _has_gpu() -> bool:
    return bool(machine.identity().gpus)
