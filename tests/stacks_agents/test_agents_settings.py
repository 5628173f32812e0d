import json
from pathlib import Path

import pytest

from inferometer.design import Sut
from inferometer.errors import UserError
from inferometer.stacks.registry import stack_of


def sut(**settings: object) -> Sut:
    return Sut(stack="transformers_agents", artifact="gpt2-synthetic", settings=settings)


def test_the_control_must_be_said():
    with pytest.raises(UserError, match="control"):
        stack_of(sut(device="cpu"), "here")
    with pytest.raises(UserError, match="control"):
        stack_of(sut(control="magic"), "here")


def test_the_command_line_carries_every_setting(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    stack, settings = stack_of(sut(device="cpu", control="batch"), "here")
    launch = stack.launch(settings, Path("model"), Path("python"), 5000)
    assert launch.base_url == "http://127.0.0.1:5000"
    assert json.loads(launch.command[-1]) == {
        "device": "cpu",
        "dtype": "float32",
        "attention": "sdpa",
        "threads": 3,
        "control": "batch",
        "model": "model",
        "host": "127.0.0.1",
        "port": 5000,
    }
    assert Path(launch.command[1]).is_file()
    assert stack.dialect(settings) is None
    assert stack.environment_for(settings) == "transformers"


def test_it_needs_an_artifact():
    stack, settings = stack_of(sut(control="serial"), "here")
    with pytest.raises(UserError, match="artifact"):
        stack.launch(settings, None, Path("python"), 5000)
