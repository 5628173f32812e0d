"""llama.cpp's own server program, built for this processor or found on PATH."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import BaseModel

from inferometer.artifacts import llamacpp_tools
from inferometer.stacks import local
from inferometer.stacks.base import Launch
from inferometer.stacks.llamacpp import LlamaCpp, LlamaCppSettings, capped

PROGRAM = "llama-server"


class LlamaCppNative(LlamaCpp):
    """The settings and the dialect of `llamacpp`, the program `llama-server`."""

    name = "llamacpp_native"
    settings_model: type[BaseModel] = LlamaCppSettings

    def environment_for(self, settings: Any) -> str:
        """The one that holds what builds it."""
        return llamacpp_tools.ENVIRONMENT

    def why_not(self, settings: Any) -> str | None:
        """There is neither the program nor a compiler."""
        return llamacpp_tools.why_not(PROGRAM)

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """Every setting is on the command line; the program is built where it is missing."""
        artifact = local.needed(self.name, artifact)
        program = llamacpp_tools.tool(PROGRAM, python).path
        launch = local.at_port(port, [str(program), *options(settings, artifact, port)])
        if settings.memory_limit_mib is None:
            return launch
        command = capped(launch.command, python, settings.memory_limit_mib, artifact)
        return replace(launch, command=command)

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """What `llamacpp` reads, and where the program came from.

        `server_build` is the commit that it was built from.
        """
        seen = await super().read_back(http, base_url, settings)
        return seen | {"program": llamacpp_tools.origin(PROGRAM)}


def options(settings: LlamaCppSettings, artifact: Path, port: int) -> list[str]:
    """The settings as hosts/llamacpp_server.py sets them, as options of the program."""
    threads = local.threads_of(settings)
    values = {
        "model": artifact,
        "host": "127.0.0.1",
        "port": port,
        "parallel": settings.slots,
        "ctx-size": settings.context_per_slot * settings.slots,
        "batch-size": settings.batch,
        "ubatch-size": settings.micro_batch,
        "threads": threads,
        "threads-batch": threads,
        "gpu-layers": settings.gpu_layers,
        "cache-type-k": settings.kv_type,
        "cache-type-v": settings.kv_type,
        "flash-attn": settings.flash_attention,
        "fit": "off",  # never let it shrink the context behind our back
    }
    switches = ["--no-kv-unified", "--slots", "--metrics", "--no-ui"]
    switches.append("--cont-batching" if settings.continuous_batching else "--no-cont-batching")
    if settings.prefix_cache:
        switches.append("--cache-prompt")
    else:
        values |= {"cache-ram": 0, "slot-prompt-similarity": 0.0}
        switches += ["--no-cache-prompt", "--no-cache-idle-slots"]
    given = [word for key, value in values.items() for word in (f"--{key}", str(value))]
    return given + switches
