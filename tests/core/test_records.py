import json

import pytest

from inferometer import records
from inferometer.errors import UserError


def test_records_are_on_disk_as_soon_as_they_are_appended(tmp_path):
    path = tmp_path / "deep" / "00.jsonl"
    with records.RawWriter(path) as writer:
        writer.append({"kind": "request", "value": 1})
        assert [r["value"] for _, r in records.read(path)] == [1]
        writer.append({"kind": "request", "value": 2})
        assert writer.count == 2
    assert [(n, r["value"]) for n, r in records.read(path)] == [(1, 1), (2, 2)]
    assert all(json.loads(line)["schema_version"] == 1 for line in path.read_text().splitlines())


def test_a_file_that_exists_is_never_written_over(tmp_path):
    path = tmp_path / "00.jsonl"
    path.write_text("precious\n")
    with pytest.raises(UserError, match="cannot write"):
        records.RawWriter(path)
    assert path.read_text() == "precious\n"


def test_a_record_needs_a_kind_and_no_nan(tmp_path):
    with records.RawWriter(tmp_path / "00.jsonl") as writer:
        with pytest.raises(ValueError, match="no 'kind'"):
            writer.append({"value": 1})
        with pytest.raises(ValueError, match="not JSON compliant"):
            writer.append({"kind": "request", "value": float("nan")})
        assert writer.count == 0
    assert writer.path.read_text() == ""


def test_a_truncated_last_line_ends_a_partial_file_and_breaks_a_whole_one(tmp_path):
    path = tmp_path / "00.jsonl"
    path.write_text('{"schema_version":1,"kind":"request"}\n{"schema_version":1,"ki')
    assert len(list(records.read(path, partial=True))) == 1
    with pytest.raises(UserError, match="line 2 is not JSON"):
        list(records.read(path))


def test_a_broken_line_in_the_middle_is_never_passed_over(tmp_path):
    path = tmp_path / "00.jsonl"
    path.write_text('{"schema_version":1,"ki\n{"schema_version":1,"kind":"request"}\n')
    with pytest.raises(UserError, match="line 1 is not JSON"):
        list(records.read(path, partial=True))


def test_another_version_of_the_format_is_refused(tmp_path):
    path = tmp_path / "00.jsonl"
    path.write_text('{"schema_version":2,"kind":"request"}\n')
    with pytest.raises(UserError, match="line 1 has schema_version 2"):
        list(records.read(path))


def test_an_unwritable_folder_is_one_message(tmp_path):
    (tmp_path / "raw").write_text("a file, no folder")
    with pytest.raises(UserError, match=r"cannot write .*run again"):
        records.RawWriter(tmp_path / "raw" / "00.jsonl")
