"""`inferometer meters` as a person runs it."""

import argparse
import json

import pytest

from inferometer.errors import UserError
from inferometer.stages import meters


def run(*words):
    parser = argparse.ArgumentParser()
    meters.add_arguments(parser)
    return meters.run_command(parser.parse_args([*words]))


def test_json(capsys):
    assert run("--json", "--seconds", "0.6") == 0
    shown = json.loads(capsys.readouterr().out)
    states = {row["meter"].split(":")[0]: row["state"] for row in shown["meters"]}
    assert states["memory"] == "works"
    for row in shown["meters"]:
        assert (row["state"] == "works") == (row["reason"] is None)
    for window in shown["energy"].values():
        assert (window["energy_j"] is None) == bool(window["energy_reasons"])
    assert shown["memory"]["effective_bytes"] > 0
    assert shown["sampling_cpu_fraction"] < 0.05


def test_table_names_absent_meters(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("inferometer.meters.nvml.DEVICE_NODES", ())
    monkeypatch.setattr("inferometer.meters.rapl.find", lambda _: ([], ["no RAPL counters"]))
    assert run("--seconds", "0.1") == 0
    shown = capsys.readouterr().out
    assert shown.count("no NVIDIA driver") == shown.count("no RAPL counters") == 1
    assert shown.count("energy") == 1
    assert "resident" in shown


@pytest.mark.parametrize("words", [("--seconds", "0"), ("--seconds", "nan"), ("--gpu", "-1")])
def test_mistakes(words):
    with pytest.raises(UserError):
        run(*words)
