import asyncio
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from inferometer.artifacts import catalog, fetch
from inferometer.design import Sut
from inferometer.errors import UserError
from inferometer.load.client import StreamingClient
from inferometer.load.prompts import PromptSource
from inferometer.stacks.base import GenerationRequest, Launch
from inferometer.stacks.llamacpp import LlamaCpp, LlamaCppSettings
from inferometer.stacks.registry import stack_of
from inferometer.stacks.server import free_port, running
from inferometer.stacks.url import Url, UrlSettings


def program(code: str) -> Launch:
    return Launch([sys.executable, "-c", code], f"http://127.0.0.1:{free_port()}")


async def started(launch: Launch, log: Path, limit_s: float = 10) -> None:
    settings = LlamaCppSettings(slots=1, context_per_slot=512)
    async with running(LlamaCpp(), settings, launch, log, ready_limit_s=limit_s):
        pass


def test_a_program_that_dies_at_its_start_is_shown_with_its_last_lines(tmp_path):
    launch = program("print('no such model'); raise SystemExit(3)")
    with pytest.raises(UserError, match=r"ended with code 3 before it was ready(.|\n)*no such mod"):
        asyncio.run(started(launch, tmp_path / "log"))


def test_a_server_that_never_gets_ready_is_ended_at_the_limit(tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    launch = Launch(["sh", "-c", "echo loading; exec sleep 600"], url)
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"not ready within 1 s(.|\n)*loading"):
        asyncio.run(started(launch, tmp_path / "log", limit_s=1))
    assert time.monotonic() - begun < 60


@asynccontextmanager
async def answering(path: str, content: object):
    """A stand-in that answers one path with JSON; no model behind it."""
    app = web.Application()

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(content)

    app.router.add_get(path, answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path):
    async def main() -> None:
        async with answering("/health", {"status": "ok"}) as url:
            await started(
                Launch([sys.executable, "-c", "raise SystemExit(9)"], url), tmp_path / "l"
            )

    with pytest.raises(UserError, match="something already answers at"):
        asyncio.run(main())
    assert not (tmp_path / "l").exists()


def test_a_url_that_answers_in_another_language_is_one_message(tmp_path):
    settings = UrlSettings(url="http://127.0.0.1:1", model="m")

    async def main(content: object) -> None:
        async with answering("/v1/models", content) as url:
            mine = settings.model_copy(update={"url": url})
            launch = Url().launch(mine, None, Path(sys.executable), 0)
            async with running(Url(), mine, launch, tmp_path / "log", ready_limit_s=5):
                pass

    with pytest.raises(UserError, match="does not serve 'm'; it serves: other"):
        asyncio.run(main({"data": [{"id": "other"}]}))
    for nonsense in ([1, 2], {"data": 7}, {"data": ["m"]}, "hello"):
        with pytest.raises(UserError, match="does not answer as url does"):
            asyncio.run(main(nonsense))


def test_a_url_where_nothing_answers_is_one_message(tmp_path):
    settings = UrlSettings(url=f"http://127.0.0.1:{free_port()}", model="m")

    async def main() -> None:
        launch = Url().launch(settings, None, Path(sys.executable), 0)
        async with running(Url(), settings, launch, tmp_path / "log", ready_limit_s=0.3):
            pass

    with pytest.raises(UserError, match=r"was not ready within 0\.3 s"):
        asyncio.run(main())


def test_wrong_stacks_and_settings_are_named():
    with pytest.raises(UserError, match=r"'llamacp' is not known; known: .*llamacpp, "):
        stack_of(Sut(stack="llamacp"), "design.yaml: suts.a")
    with pytest.raises(UserError, match=r"suts\.a: settings: slot: unknown key; known: slots"):
        stack_of(
            Sut(stack="llamacpp", settings={"slot": 1, "slots": 1, "context_per_slot": 256}),
            "design.yaml: suts.a",
        )
    with pytest.raises(UserError, match="settings: slots"):
        stack_of(Sut(stack="llamacpp", settings={"slots": 0, "context_per_slot": 256}), "x")


@pytest.fixture(scope="session")
def llamacpp(environments_folder):
    """Start the real llama.cpp server with the catalog's small model."""
    model = fetch.fetch("smollm2-135m-q4_1", catalog.shipped()).path
    python = environments_folder / "llamacpp" / "bin" / "python"

    def start(settings: LlamaCppSettings, log: Path):
        launch = LlamaCpp().launch(settings, model, python, free_port())
        return running(LlamaCpp(), settings, launch, log, ready_limit_s=60)

    return start


def test_a_context_that_llamacpp_rounds_is_noticed(llamacpp, tmp_path):
    async def main() -> None:
        settings = LlamaCppSettings(slots=1, context_per_slot=300)
        async with llamacpp(settings, tmp_path / "log"):
            pass

    with pytest.raises(UserError, match=r"context_per_slot = \[300\].*use a multiple of 256"):
        asyncio.run(main())


@pytest.mark.parametrize("slots", [1, 8])
def test_prompts_are_exact_and_never_from_a_cache(llamacpp, tmp_path, slots):
    settings = LlamaCppSettings(slots=slots, context_per_slot=512)

    async def main() -> list[dict]:
        async with (
            llamacpp(settings, tmp_path / "log") as server,
            StreamingClient(
                server.base_url,
                LlamaCpp().dialect(settings),
                timeout_s=30,
                clock_origin=time.monotonic(),
            ) as client,
        ):
            assert server.read_back["slots"] == slots
            prompts = await PromptSource.build(client, "exact")
            assert prompts.exact

            async def one(index: int) -> dict:
                request = GenerationRequest(prompts.prompt(24 + index % 2, index), 6, index)
                return await client.generate(request, agent=0, sequence=index)

            together = await asyncio.gather(*(one(index) for index in range(12)))
            again = [await one(0), await one(0)]  # the same prompt: nothing may be reused
            return [*together, *again]

    for record in asyncio.run(main()):
        assert record["status"] == "ok", record["error"]
        assert record["prompt_tokens"] == record["prompt_tokens_asked"]
        assert record["completion_tokens"] == 6
        assert record["cached_tokens"] == 0


def test_a_server_by_url_is_driven_like_our_own(llamacpp, tmp_path):
    own = LlamaCppSettings(slots=2, context_per_slot=512)

    async def main() -> tuple[dict, dict]:
        async with llamacpp(own, tmp_path / "log") as server:
            async with (
                StreamingClient(
                    server.base_url, LlamaCpp().dialect(own), timeout_s=30, clock_origin=0
                ) as plain,
                plain.http.get(server.base_url + "/v1/models") as answer,
            ):
                model = (await answer.json())["data"][0]["id"]
            settings = UrlSettings(url=server.base_url, model=model)
            launch = Url().launch(settings, None, Path(sys.executable), 0)
            async with (
                running(Url(), settings, launch, tmp_path / "none", ready_limit_s=5) as there,
                StreamingClient(
                    there.base_url, Url().dialect(settings), timeout_s=30, clock_origin=0
                ) as client,
            ):
                prompts = await PromptSource.build(client, "url")
                request = GenerationRequest(prompts.prompt(16, 0), 5, 0)
                record = await client.generate(request, agent=0, sequence=0)
            # a server by URL is its user's: it must still run
            assert server.alive()
            return record, there.read_back

    record, seen = asyncio.run(main())
    assert record["status"] == "ok", record["error"]
    assert (record["prompt_tokens"], record["completion_tokens"]) == (16, 5)
    assert seen["models"]
