"""What the catalog says, refuses and asks for; no environment is needed."""

import json
import shutil

import pytest
import yaml
from artifacts_tiny import tiny
from checkouts import REPOSITORY

from inferometer import cli
from inferometer.artifacts import catalog, fetch
from inferometer.artifacts.recipe import identity, needs
from inferometer.config import LocalArtifact
from inferometer.design import validated
from inferometer.errors import UserError

PUBLISHED = {
    "gpt2": 124_439_808,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "phi-2": 2_779_683_840,
    "llama3.2-1b": 1_235_814_400,
    "llama3.2-3b": 3_212_749_824,
    "llama3.1-8b": 8_030_261_248,
    "smollm2-135m": 134_515_008,
}


def content():
    return yaml.safe_load(catalog.CATALOG_FILE.read_text())


def test_every_reports_model_has_its_published_size_and_a_synthetic_artifact():
    shipped = catalog.shipped()
    assert {name: shipped.architectures[name].params for name in PUBLISHED} == PUBLISHED
    for name in PUBLISHED.keys() - {"smollm2-135m"}:
        assert shipped.artifact(f"{name}-synthetic").performance_only
        assert shipped.shape(f"{name}-synthetic", "config", "context", "vocabulary").source


def test_architecture_without_kv_heads_names_the_key():
    wrong = content()
    del wrong["architectures"]["gpt2"]["kv_heads"]
    with pytest.raises(UserError, match=r"c\.yaml: architectures\.gpt2\.kv_heads: Field required"):
        validated(catalog.Catalog, wrong, "c.yaml")


def test_sha256_is_required_unless_the_artifact_is_made_here():
    wrong = content()
    del wrong["artifacts"]["smollm2-135m-q4_1"]["sha256"]
    with pytest.raises(UserError, match=r"smollm2-135m-q4_1.*sha256: required.*package"):
        validated(catalog.Catalog, wrong, "c.yaml")


def test_a_local_file_without_architecture_names_the_key_to_add(tmp_path):
    own = LocalArtifact(path=tmp_path / "m.gguf", sha256="0" * 64)
    with pytest.raises(UserError, match=r"mine: its layers.*artifacts\.mine\.architecture"):
        catalog.with_local({"mine": own}).shape("mine")
    unknown = own.model_copy(update={"architecture": "gpt9"})
    with pytest.raises(UserError, match=r"'gpt9' is not in the catalog; it has: .*gpt2"):
        catalog.with_local({"mine": unknown}).shape("mine")


def test_a_missing_fact_is_named():
    with pytest.raises(UserError, match=r"architectures\.tiny\.params is missing"):
        identity("tiny", tiny(params=None), REPOSITORY)


def test_a_made_artifact_without_repository_says_what_to_run():
    with pytest.raises(UserError, match="run `inferometer fetch gpt2-synthetic`"):
        fetch.fetch("gpt2-synthetic", catalog.shipped())


def test_a_recipe_changes_with_what_changes_the_bytes_and_with_nothing_else(tmp_path):
    first = identity("tiny", tiny(), REPOSITORY)
    assert identity("tiny", tiny(source="better known"), REPOSITORY) == first
    assert identity("tiny", tiny(context=64), REPOSITORY) != first
    assert identity("tiny16", tiny(), REPOSITORY) != first
    shutil.copytree(REPOSITORY / "envs", tmp_path / "envs")
    assert identity("tiny", tiny(), tmp_path) == first
    with (tmp_path / "envs" / "transformers.txt").open("a") as lock:
        lock.write("another==1.0\n")
    assert identity("tiny", tiny(), tmp_path) != first
    shipped = catalog.shipped()
    original = shipped.artifact("smollm2-135m-q4_1")
    assert identity("smollm2-135m-q4_1", shipped, None) == original.sha256


def test_needs_are_the_models_on_disk_but_not_in_memory():
    disk, memory = needs("llama3.1-8b-synthetic", catalog.shipped())
    assert 16.0e9 < disk < 16.6e9
    assert memory < 2e9
    disk, memory = needs("smollm2-135m-f32", catalog.shipped())
    assert 0.53e9 < disk < 0.6e9
    assert memory > 2 * 0.538e9


def test_a_model_that_fits_nowhere_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv(fetch.CACHE_VARIABLE, str(tmp_path / "cache"))
    huge = tiny(params=10**15, vocabulary=10**12)
    with pytest.raises(UserError) as caught:
        fetch.fetch("tiny", huge, REPOSITORY)
    for words in ("needs 4080000.0 GB on disk", "GB free", "GB of memory", "are available"):
        assert words in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_a_local_folder_has_the_digest_of_its_files(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(UserError) as caught:
        fetch.fetch("mine", own_folder(model, "0" * 64))
    seen = str(caught.value).split("has sha256 ")[1][:64]
    found = fetch.fetch("mine", own_folder(model, seen))
    assert (found.path, found.bytes) == (model, 9)
    (model / "model.safetensors").rename(model / "other.safetensors")
    with pytest.raises(UserError, match=r"mend artifacts\.mine\.sha256"):
        fetch.fetch("mine", own_folder(model, seen))


def own_folder(path, sha256):
    return catalog.with_local({"mine": LocalArtifact(path=path, sha256=sha256)})


def test_list_says_what_there_is_and_what_is_here(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(fetch.CACHE_VARIABLE, str(tmp_path))
    there = fetch.cached_path("gpt2-synthetic", catalog.shipped(), REPOSITORY)
    there.mkdir(parents=True)
    words = ["fetch", "--list", "--root", str(REPOSITORY)]
    assert cli.main([*words, "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == catalog.shipped().artifacts.keys()
    assert rows["gpt2-synthetic"]["here"]
    assert not rows["smollm2-135m-f32"]["here"]
    assert rows["gpt2-synthetic"]["bytes"] == 4 * PUBLISHED["gpt2"]
    assert cli.main(words) == 0
    assert "llama3.1-8b-synthetic" in capsys.readouterr().out
    assert cli.main(["fetch", "--root", str(REPOSITORY)]) == 1
    assert "name one artifact, or give --list" in capsys.readouterr().err
