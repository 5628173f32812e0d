"""What the clients of servers share that a user runs: settings, and whether anything answers."""

import json
import urllib.error
import urllib.request
from typing import Any

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

ANSWER_LIMIT_S = 3.0


class ServerSettings(BaseModel):
    """Where the server is and which of its models to ask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^https?://[^/]+$")
    model: str


def silent(url: str, path: str) -> str | None:
    """Why a server by URL cannot be measured: nothing answers there; `None` when it does."""
    try:
        with urllib.request.urlopen(url + path, timeout=ANSWER_LIMIT_S):
            return None
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return f"{url}{path} does not answer ({reason}); start the server, or mend the SUT's url"


async def get_json(http: aiohttp.ClientSession, url: str) -> Any:
    """The JSON at `url`; raises aiohttp's errors."""
    async with http.get(url) as answer:
        answer.raise_for_status()
        return await answer.json(content_type=None)


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object of one payload; `ValueError` when it is something else."""
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("event is not a JSON object")
    return content
