import os
from pathlib import Path

import pytest
import yaml
from checkouts import REPOSITORY

from inferometer.design import Sut
from inferometer.errors import UserError
from inferometer.stacks import local
from inferometer.stacks.registry import stack_of
from inferometer.stacks.transformers import Transformers, TransformersSettings


@pytest.mark.parametrize("gpu", [False, True])
def test_the_device_decides_the_environment(monkeypatch, gpu):
    monkeypatch.setattr(local, "has_gpu", lambda: gpu)
    stack = Transformers()
    auto = stack.environment_for(TransformersSettings())
    assert auto == ("transformers-cuda" if gpu else "transformers")
    assert stack.environment_for(TransformersSettings(device="cpu")) == "transformers"
    assert stack.environment_for(TransformersSettings(device="cuda")) == "transformers-cuda"


def test_the_command_line_says_it_all():
    settings = TransformersSettings(device="cpu", attention="eager", memory_limit_mib=900)
    launch = Transformers().launch(settings, Path("/models/m"), Path("/env/python"), 4711)
    python, host, options = launch.command
    assert (python, Path(host).name) == ("/env/python", "transformers_worker.py")
    assert yaml.safe_load(options) == {
        "device": "cpu",
        "dtype": "float32",
        "attention": "eager",
        "compile": "none",
        "dynamic_shapes": True,
        "cache": "dynamic",
        "threads": len(os.sched_getaffinity(0)),
        "memory_limit_mib": 900,
        "model": "/models/m",
        "host": "127.0.0.1",
        "port": 4711,
    }
    assert launch.base_url == "http://127.0.0.1:4711"


def test_wrong_settings_are_named():
    for settings, words in (
        ({"atention": "sdpa"}, "atention: unknown key"),
        ({"attention": "paged"}, "settings: attention"),
        ({"memory_limit_mib": 3}, "settings: memory_limit_mib"),
    ):
        with pytest.raises(UserError, match=words):
            stack_of(Sut(stack="transformers", settings=settings), "design.yaml: suts.a")
    with pytest.raises(UserError, match="needs an artifact"):
        Transformers().launch(TransformersSettings(), None, Path("p"), 1)


@pytest.mark.parametrize("name", ["transformers", "transformers-cuda"])
def test_the_conda_twin_has_the_same_pins(name):
    text = (REPOSITORY / "envs" / f"{name}.txt").read_text().splitlines()
    pins = [line for line in text if line and not line.startswith("#")]
    twin = yaml.safe_load((REPOSITORY / "envs" / f"{name}.yaml").read_text())
    assert twin["dependencies"][-1] == {"pip": pins}
    assert all("==" in pin for pin in pins)
