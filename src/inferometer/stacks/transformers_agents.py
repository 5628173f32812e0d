"""Transformers with N sequences at once, in process: the control says how they run together."""

from pathlib import Path
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from inferometer.stacks import local
from inferometer.stacks.base import Launch, get_json
from inferometer.stacks.transformers import Transformers, torch_device_of

HOST = Path(__file__).parents[1] / "hosts" / "transformers_agents_worker.py"


class TransformersAgentsSettings(BaseModel):
    """Settings of one worker; `device`, `dtype` and `attention` as in the stack transformers.

    `threads` is for the whole run: N threads or N processes share them, at least one each. None
    means one per core that this process may use.

    `control` says how N sequences run:

    - serial: one after the other in one process, first come, first served;
    - threads: N threads of one process share one model, one sequence each;
    - processes: N processes, each with its own model and one sequence;
    - batch: one batch of N, one forward for each step;
    - continuous: the continuous batching of Transformers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    threads: int | None = Field(default=None, ge=1)
    control: Literal["serial", "threads", "processes", "batch", "continuous"]


class TransformersAgents(Transformers):
    """The worker; see `Stack` for the methods. It runs where the stack transformers runs."""

    name = "transformers_agents"
    settings_model: type[BaseModel] = TransformersAgentsSettings

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """One JSON argument carries every setting, so the command line says it all."""
        return local.hosted(python, HOST, settings, local.needed(self.name, artifact), port)

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """The facts of the loaded model from `/props`, checked against the settings."""
        seen = await get_json(http, base_url + "/props")
        asked = {
            "device": torch_device_of(settings),
            "dtype": settings.dtype,
            "attention": _attention(settings),
            "threads": local.threads_of(settings),
            "control": settings.control,
        }
        local.check(self.name, asked, seen)
        return seen


def _attention(settings: TransformersAgentsSettings) -> str:
    """What the loaded model should say: continuous batching has an eager attention of its own."""
    paged = settings.control == "continuous" and settings.attention == "eager"
    return "paged|eager" if paged else settings.attention
