import pytest

from inferometer import manifest
from inferometer.errors import UserError


@pytest.fixture
def sealed(tmp_path):
    raw = tmp_path / "00.jsonl"
    raw.write_text('{"kind":"request"}\n{"kind":"cell"}\n')
    path = manifest.path_for(raw)
    manifest.seal(raw, {"session": "a/00"}, target=path)
    return raw, path


def test_a_sealed_session_has_no_problems_and_counts_its_lines(sealed):
    raw, path = sealed
    assert manifest.problems(path) == []
    described = manifest.read(path)["raw"]
    assert (described["file"], described["lines"], described["bytes"]) == (
        raw.name,
        2,
        raw.stat().st_size,
    )


@pytest.mark.parametrize("position", [0, 7, -2])
def test_one_flipped_byte_of_the_raw_file_is_found(sealed, position):
    raw, path = sealed
    data = bytearray(raw.read_bytes())
    data[position] ^= 1
    raw.write_bytes(data)
    (problem,) = manifest.problems(path)
    assert str(raw) in problem
    assert "altered" in problem


def test_a_changed_manifest_is_found(sealed):
    _, path = sealed
    path.write_text(path.read_text().replace("a/00", "b/00"))
    (problem,) = manifest.problems(path)
    assert "its own manifest_sha256" in problem


def test_a_renamed_or_missing_raw_file_is_found(sealed):
    raw, path = sealed
    raw.rename(raw.with_name("01.jsonl"))
    (problem,) = manifest.problems(path)
    assert "00.jsonl: missing" in problem


def test_a_manifest_is_sealed_under_the_name_that_the_raw_file_gets(tmp_path):
    partial = tmp_path / "aborted.jsonl"
    partial.write_text("{}\n")
    target = tmp_path / "raw" / "03.manifest.json"
    manifest.seal(partial, {}, target=target)
    assert manifest.read(target)["raw"]["file"] == "03.jsonl"


def test_missing_and_broken_manifests_are_messages(tmp_path):
    path = tmp_path / "00.manifest.json"
    with pytest.raises(UserError, match="missing"):
        manifest.read(path)
    path.write_text('{"schema_version": 1')
    with pytest.raises(UserError, match="not JSON"):
        manifest.read(path)
    path.write_text("[]")
    with pytest.raises(UserError, match="not a manifest"):
        manifest.read(path)


def test_a_failed_write_leaves_the_old_content_and_no_draft(tmp_path):
    folder = tmp_path / "place"
    folder.write_text("a file, no folder")
    with pytest.raises(UserError, match="cannot write"):
        manifest.write_atomically(folder / "x.json", "{}")
    assert [p.name for p in tmp_path.iterdir()] == ["place"]
