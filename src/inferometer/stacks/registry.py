"""The stacks that exist. A new stack is a module here and a line below."""

from typing import Any

from inferometer.design import Sut, validated
from inferometer.errors import UserError
from inferometer.stacks.base import Stack
from inferometer.stacks.llamacpp import LlamaCpp
from inferometer.stacks.url import Url

STACKS: dict[str, Stack] = {stack.name: stack for stack in (LlamaCpp(), Url())}


def stack_of(sut: Sut, where: str) -> tuple[Stack, Any]:
    """The stack of a SUT and its validated settings; `UserError` names what is wrong where."""
    if sut.stack not in STACKS:
        raise UserError(f"{where}: stack: {sut.stack!r} is not known; known: {', '.join(STACKS)}")
    stack = STACKS[sut.stack]
    return stack, validated(stack.settings_model, sut.settings, f"{where}: settings")
