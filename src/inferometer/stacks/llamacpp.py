"""llama.cpp's own server, from the xllamacpp wheel, in an environment of its own."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import psutil
from pydantic import BaseModel, ConfigDict, Field

from inferometer.errors import NotTestableHere, UserError
from inferometer.hosts import memory_cap
from inferometer.stacks import local
from inferometer.stacks.base import Launch, answers, get_json
from inferometer.stacks.openai import OpenAIDialect

HOST = Path(__file__).parents[1] / "hosts" / "llamacpp_server.py"


class LlamaCppSettings(BaseModel):
    """Settings of one llama.cpp server.

    `slots` requests are decoded together (1 is a serial server); each has `context_per_slot`
    tokens of KV cache, all of it committed at the start. `threads` None means one per core that
    this process may use. `memory_limit_mib` caps the whole server with a Linux control group: its
    memory-mapped weights are pushed out first, beyond that the kernel kills it. `flash_attention`
    off keeps attention scores in memory, which grow with the context in use.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: int = Field(ge=1)
    context_per_slot: int = Field(ge=16)
    threads: int | None = Field(default=None, ge=1)
    continuous_batching: bool = True
    prefix_cache: bool = False
    batch: int = Field(default=2048, ge=1)
    micro_batch: int = Field(default=512, ge=1)
    gpu_layers: int = Field(default=0, ge=0)
    kv_type: Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"] = "f16"
    flash_attention: Literal["auto", "on", "off"] = "auto"
    memory_limit_mib: int | None = Field(default=None, ge=1)


class LlamaCpp:
    """The ready-made llama.cpp server; see `Stack` for the methods."""

    name = "llamacpp"
    settings_model: type[BaseModel] = LlamaCppSettings

    def environment_for(self, settings: Any) -> str:
        """One environment for all settings."""
        return "llamacpp"

    def why_not(self, settings: Any) -> str | None:
        """Nothing is known before it starts; see `launch` for the memory limit."""
        return None

    def dialect(self, settings: Any) -> OpenAIDialect:
        """Forced output length; the prompt cache as the settings say."""
        return OpenAIDialect(
            extra={"ignore_eos": True, "cache_prompt": settings.prefix_cache},
            closes_streams=True,  # seen: it promises keep-alive, and hangs up after each stream
        )

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """One JSON argument carries every setting, so the command line says it all."""
        artifact = local.needed(self.name, artifact)
        launch = local.hosted(python, HOST, settings, artifact, port)
        if settings.memory_limit_mib is None:
            return launch
        command = capped(launch.command, python, settings.memory_limit_mib, artifact)
        return replace(launch, command=command)

    async def ready(self, http: aiohttp.ClientSession, base_url: str) -> bool:
        """`/health` answers 200 once the model is loaded."""
        return await answers(http, base_url + "/health")

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """Slots and context from `/props` and `/slots`, model facts from `/v1/models`.

        The memory limit is the kernel's, of the process that listens on the server's port.
        """
        props = await get_json(http, base_url + "/props")
        slots = await get_json(http, base_url + "/slots")
        models = await get_json(http, base_url + "/v1/models")
        seen = {
            "slots": props.get("total_slots"),
            "slots_listed": len(slots),
            "context_per_slot": sorted({slot.get("n_ctx") for slot in slots}),
            "model_ftype": props.get("model_ftype"),
            "model_meta": models["data"][0].get("meta"),
            "server_build": props.get("build_info"),
        }
        if settings.memory_limit_mib is not None:
            seen["memory_limit_bytes"] = _limit_in_force(base_url, settings.memory_limit_mib)
        asked = {
            "slots": settings.slots,
            "slots_listed": settings.slots,
            "context_per_slot": [settings.context_per_slot],
        }
        rounds = "llama.cpp rounds the context up to its block size: use a multiple of 256"
        local.check(self.name, asked, seen, rounds)
        return seen


def capped(command: list[str], python: Path, limit_mib: int, artifact: Path) -> list[str]:
    """The command under a memory limit; refused here, before anything starts, if none can be."""
    reason = memory_cap.unavailable(limit_mib)
    if reason is not None:
        raise NotTestableHere(f"llamacpp: memory_limit_mib = {limit_mib}: {reason}")
    return [str(python), memory_cap.__file__, str(limit_mib), str(artifact), "--", *command]


def _limit_in_force(base_url: str, asked_mib: int) -> int:
    port = urlsplit(base_url).port
    owners = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
    }
    limits = {memory_cap.limit_bytes(pid) for pid in owners if pid is not None}
    if limits != {asked_mib * memory_cap.MIB}:
        raise UserError(
            f"llamacpp: asked for memory_limit_mib = {asked_mib}; the kernel holds the process on "
            f"port {port} to {', '.join(map(str, limits)) or 'nothing known'} bytes"
        )
    return asked_mib * memory_cap.MIB
