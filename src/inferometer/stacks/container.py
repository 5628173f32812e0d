"""A server inside a container engine (docker or podman), from an image that is named by digest."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, field_validator

from inferometer import machine
from inferometer.errors import NotTestableHere, UserError
from inferometer.stacks.base import Launch, answers
from inferometer.stacks.openai import OpenAIDialect

HOST = Path(__file__).parents[1] / "hosts" / "container_guard.py"
ENGINES = ("docker", "podman")
BY_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
NSYS_FOLDER = "/opt/nsys"
CALL_LIMIT_S = 20.0


class ContainerSettings(BaseModel):
    """Settings of one server in a container.

    `image` is named by digest. `command` are the arguments after it, `entrypoint` replaces the
    image's program. The server listens on `port` inside; outside it is on loopback alone. The
    artifact, where the SUT has one, is mounted read-only at `model_path`. `model` is the name that
    requests ask for. `nsys` is a folder of Nsight Systems on this machine, mounted read-only at
    /opt/nsys: `entrypoint` and `command` then say what it profiles. `extra` is sent with each
    request; the default forces the output length in the words of llama.cpp and vLLM.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    image: str
    port: int = Field(ge=1, le=65535)
    command: tuple[str, ...] = ()
    entrypoint: str | None = None
    environment: dict[str, str] = {}
    engine: str = "auto"
    gpu: bool = False
    model: str | None = None
    model_path: str = Field(default="/model", pattern="^/")
    nsys: str | None = Field(default=None, pattern="^/")
    dialect: Literal["openai"] = "openai"
    extra: dict[str, Any] = {"ignore_eos": True}
    tokenize_path: str | None = "/tokenize"

    @field_validator("image")
    @classmethod
    def by_digest(cls, image: str) -> str:
        """A tag can mean another image tomorrow, and then nobody knows what was measured."""
        if not BY_DIGEST.fullmatch(image):
            raise ValueError(
                f"{image!r} does not name an image by digest (NAME@sha256: and 64 hexadecimal "
                "digits); a tag can mean another image tomorrow. `docker image inspect --format "
                "'{{.RepoDigests}}' IMAGE` shows the digest"
            )
        return image


class Container:
    """A server in a container; see `Stack` for the methods."""

    name = "container"
    settings_model: type[BaseModel] = ContainerSettings

    def environment_for(self, settings: Any) -> None:
        """The image is its environment."""
        return

    def why_not(self, settings: Any) -> str | None:
        """No engine, one that does not answer, no GPU, or an image that is not on this machine."""
        engine = engine_of(settings)
        if engine is None:
            sought = ", ".join(ENGINES) if settings.engine == "auto" else settings.engine
            return f"no container engine ({sought}) on this machine"
        if trouble := _trouble(engine, "ps", "--quiet"):
            return f"{Path(engine).name} does not answer: {trouble}"
        if settings.gpu and not machine.identity().gpus:
            return "it asks for an NVIDIA GPU, and this machine has none that answers"
        if _trouble(engine, "image", "inspect", settings.image):
            return (
                f"the image {settings.image} is not on this machine; fetch it first, so that no "
                f"session waits for it: {Path(engine).name} pull {settings.image}"
            )
        return None

    def dialect(self, settings: Any) -> OpenAIDialect:
        """The OpenAI completions dialect with the user's model and fields in each request."""
        model = {} if settings.model is None else {"model": settings.model}
        return OpenAIDialect(
            extra=model | settings.extra,
            tokenize_path=settings.tokenize_path,
            closes_streams=True,  # unknown, and a connection more costs less than a lost request
        )

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """The engine's whole command line, under a process that ends the container with itself."""
        engine = engine_of(settings)
        if engine is None:
            raise NotTestableHere(f"container: {self.why_not(settings)}")
        name = _name(port)
        options = ["--rm", "--init", "--pull", "never", "--name", name]
        options += ["--label", f"inferometer={name}"]
        options += ["--publish", f"127.0.0.1:{port}:{settings.port}"]
        if artifact is not None:
            options += ["--volume", f"{artifact.resolve()}:{settings.model_path}:ro"]
        if settings.nsys is not None:
            options += ["--volume", f"{settings.nsys}:{NSYS_FOLDER}:ro"]
        if settings.gpu:
            podman = Path(engine).name == "podman"
            options += ["--device", "nvidia.com/gpu=all"] if podman else ["--gpus", "all"]
        for key, value in settings.environment.items():
            options += ["--env", f"{key}={value}"]
        if settings.entrypoint is not None:
            options += ["--entrypoint", settings.entrypoint]
        command = [sys.executable, str(HOST), engine, name, *options, settings.image]
        return Launch([*command, *settings.command], f"http://127.0.0.1:{port}")

    async def ready(self, http: aiohttp.ClientSession, base_url: str) -> bool:
        """`/health` answers 200, or, where the server has another path for it, `/v1/models`."""
        return await answers(http, base_url + "/health") or await answers(
            http, base_url + "/v1/models"
        )

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """What the engine says of the running container; its server's settings are in its command.

        Raises `UserError` when it is another image, runs without an init, or may write where it
        must not.
        """
        engine = engine_of(settings)
        assert engine is not None  # it was started
        seen = await asyncio.to_thread(_inspected, engine, _name(urlsplit(base_url).port or 0))
        asked = {"image": settings.image, "init": True, "writable_mounts": []}
        for key, value in asked.items():
            if seen[key] != value:
                raise UserError(
                    f"container: asked for {key} = {value}, {Path(engine).name} runs it with "
                    f"{seen[key]}"
                )
        return seen | {"engine": Path(engine).name, "server_settings": "not verified: see command"}


def engine_of(settings: ContainerSettings) -> str | None:
    """The path of the engine that the settings mean on this machine."""
    names = ENGINES if settings.engine == "auto" else (settings.engine,)
    return next((path for name in names if (path := shutil.which(name))), None)


def _name(port: int) -> str:
    """The container's name: one for each port of this machine that is in use."""
    return f"inferometer-{port}"


def _trouble(engine: str, *arguments: str) -> str | None:
    """Why a call of the engine fails; `None` when it does not."""
    try:
        done = subprocess.run(
            [engine, *arguments], capture_output=True, text=True, timeout=CALL_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip()[-300:] or "no reason given"


def _inspected(engine: str, name: str) -> dict[str, Any]:
    done = subprocess.run(
        [engine, "inspect", name], capture_output=True, text=True, timeout=CALL_LIMIT_S
    )
    if done.returncode != 0:
        raise UserError(f"container: {engine} inspect {name} failed: {done.stderr.strip()[-300:]}")
    (found,) = json.loads(done.stdout)
    return {
        "image": found["Config"]["Image"],
        "image_id": found["Image"],
        "init": found["HostConfig"]["Init"],
        "writable_mounts": [
            each["Destination"] for each in found["Mounts"] if each["Type"] == "bind" and each["RW"]
        ],
    }
