"""llama.cpp in process: a worker that tells how likely given texts are, as its server does not."""

from pathlib import Path
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from inferometer.stacks import local
from inferometer.stacks.base import Launch, answers, get_json

HOST = Path(__file__).parents[1] / "hosts" / "llamacpp_worker.py"


class LlamaCppInProcessSettings(BaseModel):
    """Settings of one worker.

    An input may have up to `context` tokens and is computed in one batch. `threads` None means one
    per core that this process may use. `flash_attention` on a CPU computes in half precision,
    whatever the type of the KV cache: off for arithmetic in single precision.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    context: int = Field(default=2048, ge=16)
    threads: int | None = Field(default=None, ge=1)
    kv_type: Literal["f32", "f16"] = "f16"
    flash_attention: Literal["auto", "on", "off"] = "auto"


class LlamaCppInProcess:
    """The worker; see `Stack` for the methods."""

    name = "llamacpp_inprocess"
    settings_model: type[BaseModel] = LlamaCppInProcessSettings

    def environment_for(self, settings: Any) -> str:
        """That of the quantizer: the same library."""
        return "quantize"

    def why_not(self, settings: Any) -> str | None:
        """Nothing speaks against it: the package is a CPU build."""
        return None

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
        """The facts of the loaded model from `/props`; context and threads are checked.

        The library does not tell the type of its cache, nor whether it uses flash attention.
        """
        seen = await get_json(http, base_url + "/props")
        asked = {
            "context": settings.context,
            "threads": local.threads_of(settings),
        }
        local.check(
            self.name, asked, seen, "llama.cpp rounds the context up: use a multiple of 256"
        )
        return seen
