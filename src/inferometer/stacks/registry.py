"""The stacks that exist. A new stack is a module here and a line below."""

from importlib import import_module
from typing import Any

from inferometer.design import Sut, validated
from inferometer.errors import UserError
from inferometer.stacks.base import Stack

STACKS = {
    "container": "Container",
    "llamacpp": "LlamaCpp",
    "llamacpp_inprocess": "LlamaCppInProcess",
    "llamacpp_native": "LlamaCppNative",
    "ollama": "Ollama",
    "openvino": "OpenVino",
    "tgi": "Tgi",
    "transformers": "Transformers",
    "transformers_agents": "TransformersAgents",
    "transformers_serving": "TransformersServing",
    "url": "Url",
    "vllm": "Vllm",
}
"""Module of this package -> its class. By name: a session depends on the code of its own stack
alone, so an edit of another one measures nothing anew."""


def stack_of(sut: Sut, where: str) -> tuple[Stack, Any]:
    """The stack of a SUT and its validated settings; `UserError` names what is wrong where."""
    if sut.stack not in STACKS:
        raise UserError(f"{where}: stack: {sut.stack!r} is not known; known: {', '.join(STACKS)}")
    module = import_module(f"inferometer.stacks.{sut.stack}")
    stack: Stack = getattr(module, STACKS[sut.stack])()
    return stack, validated(stack.settings_model, sut.settings, f"{where}: settings")
