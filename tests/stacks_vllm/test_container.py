"""Containers, against a stand-in for the engine (engine_standin.py says what it is)."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from stacks_vllm.engine_standin import StandInEngine

from inferometer.design import validated
from inferometer.errors import NotTestableHere, UserError
from inferometer.load.client import StreamingClient
from inferometer.stacks.base import GenerationRequest
from inferometer.stacks.container import Container, ContainerSettings
from inferometer.stacks.server import RunningServer, free_port, running

IMAGE = f"registry.example/server@sha256:{'a1' * 32}"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInEngine]:
    started = StandInEngine(tmp_path, {IMAGE})
    monkeypatch.setenv("PATH", str(tmp_path))
    yield started
    started.close()


@asynccontextmanager
async def life(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[RunningServer, int]]:
    stack, chosen = Container(), ContainerSettings(image=IMAGE, port=8000, **settings)
    model, port = tmp_path / "weights", free_port()
    model.mkdir()
    launch = stack.launch(chosen, model, Path("unused"), port)
    async with running(stack, chosen, launch, tmp_path / "server.log", ready_limit_s=20) as server:
        yield server, port


async def gone(engine: StandInEngine) -> None:
    deadline = time.monotonic() + 10
    while engine.running() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert not engine.running()


def test_a_container_serves_and_ends_with_its_session(
    engine: StandInEngine, tmp_path: Path
) -> None:
    async def check() -> None:
        async with life(
            tmp_path,
            command=("--model", "/model"),
            environment={"OFFLINE": "1"},
            nsys="/usr/lib/nsight-systems",
            entrypoint="/opt/nsys/nsys",
        ) as (server, port):
            assert server.read_back["image"] == IMAGE
            assert server.read_back["engine"] == "docker"
            dialect = Container().dialect(ContainerSettings(image=IMAGE, port=8000, model="m"))
            async with StreamingClient(
                server.base_url, dialect, timeout_s=10, clock_origin=0
            ) as client:
                request = GenerationRequest([1, 2, 3], 5, 7)
                record = await client.generate(request, agent=0, sequence=0)
            assert record["status"] == "ok", record["error"]
            assert record["completion_tokens"] == 5
        assert not engine.running()
        assert engine.signals == ["TERM"]
        told = engine.text("run")
        for part in (
            "--rm --init --pull never",
            f"--publish 127.0.0.1:{port}:8000",
            f"--volume {tmp_path}/weights:/model:ro",
            "--volume /usr/lib/nsight-systems:/opt/nsys:ro",
            f"--label inferometer=inferometer-{port}",
            "--env OFFLINE=1 --entrypoint /opt/nsys/nsys",
        ):
            assert part in told
        assert told.endswith(f"{IMAGE} --model /model")
        assert "--gpus" not in told

    asyncio.run(check())


def test_a_container_that_does_not_stop_is_killed(engine: StandInEngine, tmp_path: Path) -> None:
    async def check() -> None:
        async with life(tmp_path, command=("deaf",)):
            assert len(engine.running()) == 1
        await gone(engine)
        assert engine.signals == ["TERM", "KILL"]

    asyncio.run(check())


def test_a_killed_guard_leaves_no_container(engine: StandInEngine, tmp_path: Path) -> None:
    async def check() -> None:
        async with life(tmp_path) as (server, _):
            server.processes()[0].kill()
            await gone(engine)
        assert engine.signals == []  # nobody was there to ask: it was removed

    asyncio.run(check())


def test_an_image_by_tag_is_refused_with_the_reason() -> None:
    for image in ("server:latest", "server", "server@sha256:12"):
        with pytest.raises(UserError, match=r"suts\.x: image: .*by digest.*tag can mean another"):
            validated(ContainerSettings, {"image": image, "port": 80}, "suts.x")


def test_without_an_engine_it_is_not_testable_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = ContainerSettings(image=IMAGE, port=80)
    reason = "no container engine (docker, podman) on this machine"
    assert Container().why_not(settings) == reason
    with pytest.raises(NotTestableHere, match="no container engine"):
        Container().launch(settings, None, Path("unused"), 1)


def test_an_engine_that_fails_or_lacks_the_image_is_said(
    engine: StandInEngine, tmp_path: Path
) -> None:
    assert Container().why_not(ContainerSettings(image=IMAGE, port=80)) is None
    other = ContainerSettings(image=IMAGE.replace("a1", "b2"), port=80)
    assert "docker pull registry.example/server@sha256:b2b2" in str(Container().why_not(other))
    (tmp_path / "docker").write_text("#!/bin/sh\necho Cannot connect to the daemon >&2\nexit 1\n")
    reason = Container().why_not(ContainerSettings(image=IMAGE, port=80))
    assert reason is not None
    assert reason.endswith("docker does not answer: Cannot connect to the daemon")
