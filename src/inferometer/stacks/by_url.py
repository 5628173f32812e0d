"""What the clients of servers share that a user runs: settings, and whether anything answers."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from inferometer.errors import UserError
from inferometer.stacks.base import GenerationRequest, Launch, answers

ANSWER_LIMIT_S = 3.0
LENGTHS = "not forced: an answer that ends by itself is a failed request"
"""What is read back of a server that cannot be told to ignore the end of a sequence."""


class ServerSettings(BaseModel):
    """Where the server is and which of its models to ask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^https?://[^/]+$")
    model: str


class ByUrl:
    """A server that its user starts and stops; `health` is the path that answers 200 when it can
    be asked. See `Stack` for the methods."""

    name: str
    health: str

    def environment_for(self, settings: Any) -> None:
        """The user's own server has its own."""
        return

    def why_not(self, settings: Any) -> str | None:
        """Nothing answers at the URL."""
        return silent(settings.url, self.health)

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """Nothing is started: the command is empty."""
        return Launch(command=[], base_url=settings.url)

    async def ready(self, http: aiohttp.ClientSession, base_url: str) -> bool:
        """Its path of health answers 200."""
        return await answers(http, base_url + self.health)


def silent(url: str, path: str) -> str | None:
    """Why a server by URL cannot be measured: nothing answers there; `None` when it does."""
    try:
        with urllib.request.urlopen(url + path, timeout=ANSWER_LIMIT_S):
            return None
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return f"{url}{path} does not answer ({reason}); start the server, or mend the SUT's url"


def prompt_text(stack: str, request: GenerationRequest) -> str:
    """The prompt of a request to a server that takes texts alone; `UserError` for token ids."""
    if not isinstance(request.prompt, str):
        raise UserError(f"{stack}: takes texts as prompts, no token ids")
    return request.prompt


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object of one payload; `ValueError` when it is something else."""
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("event is not a JSON object")
    return content
