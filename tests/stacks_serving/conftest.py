"""The real servers that can run here: their stack, settings, environment and artifact."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from checkouts import REPOSITORY

from inferometer import environments
from inferometer.artifacts import catalog, fetch
from inferometer.design import Sut
from inferometer.stacks.base import Stack
from inferometer.stacks.registry import stack_of


@dataclass(frozen=True)
class Kind:
    """A SUT that is the smaller model on one stack."""

    stack: Stack
    settings: Any
    artifact: Path
    python: Path


SETTINGS: dict[str, dict[str, Any]] = {
    "llamacpp": {"context_per_slot": 1024},
    "openvino": {"context": 1024},
    "transformers_serving": {"context": 1024},
}
ARTIFACTS = {
    "llamacpp": "smollm2-135m-q4_1",
    "openvino": "smollm2-135m-q4_1",
    "transformers_serving": "smollm2-135m-f32",
}


@pytest.fixture(scope="session")
def kind():
    """A stack by name with so many sequences at once."""

    def make(name: str, sequences: int, artifact: str | None = None, **more: Any) -> Kind:
        limit = {"slots" if name == "llamacpp" else "max_sequences": sequences}
        sut = Sut(stack=name, settings=SETTINGS[name] | limit | more)
        stack, settings = stack_of(sut, "tests")
        environment = environments.ensure(REPOSITORY, str(stack.environment_for(settings)))
        fetched = fetch.fetch(artifact or ARTIFACTS[name], catalog.shipped(), REPOSITORY)
        return Kind(stack, settings, fetched.path, environment.python)

    return make
