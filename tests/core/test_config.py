import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from inferometer import config
from inferometer.errors import UserError

ROOT = Path(__file__).parents[2]
WRONG = {
    "unknown key": ({"dept": "quick"}, ["dept", "unknown key", "depth"]),
    "wrong type": ({"strict": "sometimes"}, ["strict", "boolean"]),
    "bad depth": ({"depth": "deep"}, ["depth", "quick", "standard", "full"]),
    "bad machine": ({"machine": "../x"}, ["machine"]),
    "unknown experiment": ({"experiments": {"tr999": {}}}, ["tr999", "tr129"]),
    "unknown key of an experiment": (
        {"experiments": {"tr129": {"sut": {}}}},
        ["experiments.tr129.sut", "unknown key"],
    ),
    "bad sha256": (
        {"artifacts": {"mine": {"path": "x.gguf", "sha256": "123"}}},
        ["artifacts.mine.sha256"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_key_is_named_with_what_to_do(name):
    content, words = WRONG[name]
    with pytest.raises(UserError) as caught:
        config.validate(content, known=["tr129"])
    for word in ["config/config.yaml", *words]:
        assert word in str(caught.value)


def test_all_wrong_keys_are_named_at_once():
    with pytest.raises(UserError) as caught:
        config.validate({"depth": "deep", "strict": 7, "other": 1}, known=["tr129"])
    assert len(str(caught.value).splitlines()) == 3


def test_the_shipped_configuration_is_valid_and_equals_the_defaults():
    loaded = config.load(ROOT / "config" / "config.yaml", known=["tr129"])
    assert loaded == config.Config()


def test_a_file_that_is_no_yaml_says_so(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("depth: [quick")
    with pytest.raises(UserError, match=r"config\.yaml: not YAML"):
        config.load(path, known=[])


def test_a_missing_file_says_where_to_get_one(tmp_path):
    with pytest.raises(UserError, match="missing"):
        config.load(tmp_path / "config.yaml", known=[])


def test_a_list_instead_of_keys_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(["quick"]))
    with pytest.raises(UserError):
        config.load(path, known=[])


def test_snakemake_stops_before_any_rule_and_names_the_key(checkout):
    done = checkout.snakemake("reports/tr129.md", "-n", "--config", "depth=deep")
    assert done.rc != 0
    (message,) = done.messages()
    assert "depth" in message
    assert "'quick', 'standard' or 'full'" in message
    assert "Traceback" not in done.text


def test_commands_outside_a_repository_say_so(tmp_path):
    words = [sys.executable, "-m", "inferometer", "audit"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("inferometer: ")
    assert "run from the repository's root" in done.stderr
