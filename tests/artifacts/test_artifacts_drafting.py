"""A folder becomes an artifact whole or not at all, and is made once."""

import threading

import pytest

from inferometer.artifacts.making import drafting
from inferometer.errors import UserError


def test_a_folder_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "0123" / "model"
    with drafting("model", target) as draft:
        assert draft is not None
        (draft / "weights").write_text("all")
        assert not target.exists()
    assert (target / "weights").read_text() == "all"


def test_a_failed_making_and_what_a_killed_one_left_are_removed(tmp_path):
    target = tmp_path / "model"
    left = tmp_path / ".model.making"
    left.mkdir()
    (left / "half").write_text("half")

    def fail():
        with drafting("model", target) as draft:
            assert draft is not None
            assert not list(draft.iterdir())
            raise UserError("it broke")

    with pytest.raises(UserError, match="it broke"):
        fail()
    assert not left.exists()
    assert not target.exists()


def test_who_comes_second_waits_and_makes_nothing(tmp_path, capsys):
    target = tmp_path / "model"
    begun, seen = threading.Event(), []

    def second():
        begun.wait(5)
        with drafting("model", target) as draft:
            seen.append(draft)

    thread = threading.Thread(target=second)
    thread.start()
    with drafting("model", target) as draft:
        assert draft is not None
        begun.set()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(5)
    assert seen == [None]
    assert "another process makes it; waiting" in capsys.readouterr().err
