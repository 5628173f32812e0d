"""What the stacks share that start a server or a worker on this machine.

Where it runs there, how a host of ours is started, and whether it runs as it was asked to.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

from inferometer import machine
from inferometer.errors import UserError
from inferometer.stacks.base import Launch

NOT_OFFERED = "this model or this machine does not offer it: change the SUT"


def device_of(settings: Any) -> Literal["cpu", "cuda"]:
    """The device that the settings mean on this machine."""
    if settings.device != "auto":
        return settings.device
    return "cuda" if has_gpu() else "cpu"


def threads_of(settings: Any) -> int:
    """The number of threads that the settings mean on this machine: one per core of this process
    where they say none."""
    return settings.threads or len(os.sched_getaffinity(0))


@cache
def has_gpu() -> bool:
    """Whether an NVIDIA GPU answers."""
    return bool(machine.identity().gpus)


def why_no_gpu(settings: Any) -> str | None:
    """Why a SUT cannot run that asks for a GPU; `None` when there is one, or none is asked for."""
    if settings.device == "cuda" and not has_gpu():
        return "it asks for an NVIDIA GPU, and this machine has none that answers"
    return None


def needed(stack: str, artifact: Path | None) -> Path:
    """The artifact; `UserError` where the SUT has none."""
    if artifact is None:
        raise UserError(f"{stack}: a SUT of this stack needs an artifact")
    return artifact


def at_port(port: int, command: list[str]) -> Launch:
    """A server that listens on loopback alone."""
    return Launch(command=command, base_url=f"http://127.0.0.1:{port}")


def hosted(python: Path, host: Path, settings: Any, artifact: Path, port: int) -> Launch:
    """One JSON argument carries every setting, so the command line says it all.

    Device and threads are what the settings mean on this machine.
    """
    options = settings.model_dump() | {"threads": threads_of(settings)}
    if "device" in options:
        options["device"] = device_of(settings)
    options |= {"model": str(artifact), "host": "127.0.0.1", "port": port}
    return at_port(port, [str(python), str(host), json.dumps(options)])


def check(
    stack: str, asked: dict[str, Any], seen: dict[str, Any], advice: str = NOT_OFFERED
) -> None:
    """Raise `UserError` for the first setting that is not the one asked for."""
    for name, value in asked.items():
        if seen[name] != value:
            raise UserError(
                f"{stack}: asked for {name} = {value}, it runs with {seen[name]}; {advice}"
            )
