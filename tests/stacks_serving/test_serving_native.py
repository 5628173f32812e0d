"""The contract of served stacks on llama.cpp's own server program."""

import asyncio
from pathlib import Path

import contract
import pytest
from checkouts import REPOSITORY

from inferometer import environments
from inferometer.artifacts import catalog, fetch, llamacpp_tools
from inferometer.design import Sut
from inferometer.errors import UserError
from inferometer.stacks import llamacpp_native
from inferometer.stacks.registry import stack_of


def test_every_setting_is_on_the_command_line():
    given = {"slots": 3, "context_per_slot": 256, "threads": 2, "kv_type": "q8_0", "batch": 64}
    _, settings = stack_of(Sut(stack="llamacpp_native", settings=given), "tests")
    line = " ".join(llamacpp_native.options(settings, Path("m.gguf"), 7))
    for words in (
        "--model m.gguf --host 127.0.0.1 --port 7 --parallel 3 --ctx-size 768 --batch-size 64",
        "--threads 2 --threads-batch 2",
        "--cache-type-k q8_0 --cache-type-v q8_0",
        "--cache-ram 0 --slot-prompt-similarity 0.0",
        "--cont-batching --no-cache-prompt --no-cache-idle-slots",
    ):
        assert words in line
    caching = settings.model_copy(update={"prefix_cache": True, "continuous_batching": False})
    line = " ".join(llamacpp_native.options(caching, Path("m.gguf"), 7))
    assert line.endswith("--no-cont-batching --cache-prompt")
    assert "--cache-ram" not in line


def test_an_unknown_setting_is_named():
    with pytest.raises(UserError, match="settings: slotz"):
        stack_of(Sut(stack="llamacpp_native", settings={"slotz": 1}), "tests")


@pytest.fixture
def native():
    """The stack with so many slots; the build itself is too long for a test."""
    if llamacpp_tools.ready(llamacpp_native.PROGRAM) is None:
        pytest.skip("llama-server is neither on PATH nor in the cache, and its build takes minutes")

    def make(slots):
        sut = Sut(stack="llamacpp_native", settings={"slots": slots, "context_per_slot": 1024})
        stack, settings = stack_of(sut, "tests")
        python = environments.ensure(REPOSITORY, llamacpp_tools.ENVIRONMENT).python
        artifact = fetch.fetch("smollm2-135m-q4_1", catalog.shipped(), REPOSITORY).path
        return {"stack": stack, "settings": settings, "artifact": artifact, "python": python}

    return make


@pytest.mark.slow
def test_a_serial_native_server(native, tmp_path):
    async def main() -> None:
        async with contract.serving(**native(1), log=tmp_path / "log") as served:
            await contract.lengths_are_exact(served)
            await contract.the_end_of_sequence_is_ignored(served)
            await contract.tokens_come_one_by_one(served)
            await contract.timings_are_the_servers(served)
            await contract.two_at_once(served, together=False)
            await contract.a_client_that_leaves_frees_its_place(served, 700)

    asyncio.run(main())


@pytest.mark.slow
def test_a_batching_native_server(native, tmp_path):
    async def main() -> None:
        async with contract.serving(**native(2), log=tmp_path / "log") as served:
            await contract.two_at_once(served, together=True)
            await contract.lengths_are_exact(served)

    asyncio.run(main())
