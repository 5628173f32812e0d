import hashlib
from pathlib import Path

import pytest

from inferometer import provenance
from inferometer.artifacts import catalog, fetch
from inferometer.config import LocalArtifact
from inferometer.errors import UserError

CONTENT = b"GGUF, or so"
RIGHT = hashlib.sha256(CONTENT).hexdigest()


def own(path, sha256=RIGHT):
    return catalog.with_local({"mine": LocalArtifact(path=path, sha256=sha256)})


def test_a_local_file_is_verified_and_used_where_it_is(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(CONTENT)
    found = fetch.fetch("mine", own(path))
    assert (found.path, found.sha256, found.bytes) == (path, RIGHT, len(CONTENT))


def test_a_missing_file_says_which_key_to_mend(tmp_path):
    with pytest.raises(UserError, match=r"m\.gguf does not exist; mend artifacts\.mine\.path"):
        fetch.fetch("mine", own(tmp_path / "m.gguf"))


def test_a_wrong_sha256_shows_both_digests_and_the_key(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(CONTENT)
    with pytest.raises(UserError) as caught:
        fetch.fetch("mine", own(path, "0" * 64))
    for words in (RIGHT, "0" * 64, "artifacts.mine.sha256"):
        assert words in str(caught.value)


def test_an_unknown_artifact_lists_the_known_ones(tmp_path):
    with pytest.raises(UserError, match=r"'yours' is not in the catalog; it has: .*mine"):
        fetch.fetch("yours", own(tmp_path))


def test_a_damaged_cache_is_found_and_named(tmp_path, monkeypatch):
    monkeypatch.setenv(fetch.CACHE_VARIABLE, str(tmp_path))
    entry = catalog.shipped().artifact("smollm2-135m-q4_1")
    path = tmp_path / "artifacts" / entry.sha256[:16] / "smollm2-135m-q4_1.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match=f"delete {path} and run again"):
        fetch.fetch("smollm2-135m-q4_1", catalog.shipped())


def test_a_cache_that_cannot_be_written_is_one_message(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file, no folder")
    monkeypatch.setenv(fetch.CACHE_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(UserError, match=f"cannot write.*set {fetch.CACHE_VARIABLE}"):
        fetch.fetch("smollm2-135m-q4_1", catalog.shipped())


def test_every_shipped_artifact_names_source_licence_and_known_architecture():
    shipped = catalog.shipped()
    for entry in shipped.artifacts.values():
        assert entry.licence
        assert entry.architecture in shipped.architectures
    assert all(architecture.source for architecture in shipped.architectures.values())


def test_published_texts_hold_no_private_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(fetch.CACHE_VARIABLE, "/srv/cache-of-somebody")
    text = f"{tmp_path}/x /srv/cache-of-somebody/m.gguf {Path.home()}/y"
    seen = provenance.without_private(text, tmp_path)
    assert seen == "./x $INFEROMETER_CACHE/m.gguf ~/y"
