"""Files of items: each fault is named by file and line, and the others are kept."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.errors import UserError
from inferometer.quality.items import ChoiceItem, ClassificationItem, CodeItem, QaItem, load_items
from inferometer.quality.parsing import accuracy, parse_function, parse_label, parse_letter
from inferometer.quality.scoring import (
    Score,
    contains_reference,
    exact_match,
    length_words,
    repetition,
    tally,
    token_f1,
)
from inferometer.quality.tasks import generation_task

GOOD = {"id": "a", "context": "It is red.", "question": "What colour?", "references": ["red"]}


def written(path: Path, *lines: object) -> Path:
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def test_faults_have_file_and_line(tmp_path: Path) -> None:
    path = written(
        tmp_path / "qa.jsonl",
        GOOD,
        GOOD | {"id": "b", "references": []},
        "",
        "{not json",
        GOOD | {"question": "again?"},
        GOOD | {"id": "c", "references": [" "]},
        GOOD | {"id": "d", "extra": 1},
        {"id": "e", "context": "x", "question": "y"},
        GOOD | {"id": 7},
        GOOD | {"id": "f"},
    )
    items = load_items(path, QaItem)
    assert [item.id for item in items.items] == ["a", "f"]
    said = [str(fault) for fault in items.faults]
    places = ["2 (b)", "4", "5 (a)", "6 (c)", "7 (d)", "8 (e)", "9"]
    assert [text.split(": ")[0] for text in said] == [f"qa.jsonl:{place}" for place in places]
    assert "there already, in line 1" in said[2]
    assert "blank" in said[3]
    assert "references" in said[5]
    with pytest.raises(UserError, match=r"qa\.jsonl:5 \(a\)"):
        items.sound()


def test_files_without_items(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        load_items(tmp_path / "none.jsonl", QaItem)
    with pytest.raises(UserError, match="empty"):
        load_items(written(tmp_path / "empty.jsonl"), QaItem)
    with pytest.raises(UserError, match=r"no sound item\nbad.jsonl:1"):
        load_items(written(tmp_path / "bad.jsonl", []), QaItem)
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "\xe9"}')
    with pytest.raises(UserError, match="cannot be read"):
        load_items(tmp_path / "latin.jsonl", QaItem)
    with pytest.raises(UserError, match="creative"):
        generation_task("poetry")


def test_answers_outside_the_choices(tmp_path: Path) -> None:
    base = {"id": "a", "question": "q", "choices": ["x", "y"], "answer": "B"}
    path = written(
        tmp_path / "mmlu.jsonl",
        base,
        base | {"id": "b", "answer": "C"},
        base | {"id": "c", "labels": ["1"], "answer": "1"},
        base | {"id": "d", "labels": ["1", "1"], "answer": "1"},
        base | {"id": "e", "answer": 1},
        base | {"id": "f", "choices": ["x"]},
    )
    items = load_items(path, ChoiceItem)
    assert [(i.id, i.gold) for i in items.items] == [("a", 1)]
    reasons = [fault.reason for fault in items.faults]
    assert reasons[0] == "answer: 'C' is none of A, B"
    assert reasons[1] == "labels: 1 for 2 choices"
    assert "twice" in reasons[2]
    bad = {"id": "a", "question": "q", "text": "t", "labels": ["x", "y"], "answer": "z"}
    with pytest.raises(UserError, match="'z' is none of x, y"):
        load_items(written(tmp_path / "c.jsonl", bad), ClassificationItem)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"checks": "f(1)"}, "no assert"),
        ({"checks": "assert f(1"}, "checks: not Python"),
        ({"solution": "def g(): pass"}, "no function f"),
        ({"signature": "def g():"}, "is not of f"),
    ],
)
def test_code_items(tmp_path: Path, change: dict[str, str], why: str) -> None:
    good = {"id": "a", "signature": "def f(x):\n", "entry_point": "f"}
    good |= {"checks": "assert f(1) == 1", "solution": "def f(x): return x"}
    assert load_items(written(tmp_path / "good.jsonl", good), CodeItem).faults == ()
    with pytest.raises(UserError, match=why):
        load_items(written(tmp_path / "bad.jsonl", good | change), CodeItem)


def test_the_digest_is_of_the_items_and_not_of_the_file(tmp_path: Path) -> None:
    other = GOOD | {"id": "b"}
    one = load_items(written(tmp_path / "1.jsonl", GOOD, other), QaItem)
    two = load_items(written(tmp_path / "2.jsonl", "", dict(reversed(other.items())), GOOD), QaItem)
    changed = load_items(written(tmp_path / "3.jsonl", GOOD, other | {"question": "?"}), QaItem)
    assert one.sha256 == two.sha256 != changed.sha256


def test_exact_match_and_f1() -> None:
    assert exact_match("The Black Sea.", ["Black Sea"]).value == 1
    assert exact_match("It is the Black Sea", ["Black Sea"]).value == 0
    assert token_f1("It is the Black Sea", ["Black Sea", "sea"]).value == pytest.approx(4 / 6)
    assert token_f1("no", ["yes"]).value == 0
    assert contains_reference("It is the Black Sea.", ["black sea", "x"]).value == 1
    assert contains_reference("It is blackened", ["black"]).value == 0
    assert contains_reference(" ", ["black"]).status == "empty"
    assert exact_match("A", ["a"]).value == 1  # nothing but an article is kept
    for score in (exact_match(" \n", ["x"]), token_f1("", ["x"]), length_words("")):
        assert (score.value, score.status) == (0, "empty")


def test_repetition() -> None:
    assert repetition("one two three four five").value == 0
    assert repetition("a b c d a b c d a b c d").value == pytest.approx(1 - 4 / 9)
    assert repetition("so " * 100).value == pytest.approx(96 / 97)
    assert repetition("too short").status == "undefined"
    assert (repetition("").value, repetition("").status) == (None, "empty")


@given(st.text(), st.text(min_size=1))
def test_scores_stay_in_their_range(answer: str, reference: str) -> None:
    f1, same = token_f1(answer, [reference]), exact_match(answer, [reference])
    assert 0 <= f1.value <= 1
    if same.value == 1:
        assert f1.value == 1
    repeated = repetition(answer).value
    assert repeated is None or 0 <= repeated < 1


@pytest.mark.parametrize(
    "answer",
    [
        *("B", "(B)", "B.", "**B**", "b", "B) iron", "B. iron", "(B) iron ore", "Answer: B"),
        *("The correct answer is (B).", "the answer is: B", "The answer is B) iron\nA is wrong"),
    ],
)
def test_clear_letters(answer: str) -> None:
    assert parse_letter(answer, "ABCD").value == "B"


@pytest.mark.parametrize(
    "answer",
    [
        *("A dog", "A: iron", "A. B", "B or C", "The answer is B or C", "E", "I think B"),
        *("Answer: B, C", "A) 3, B) 4", "The answer is a lot", "The answer is not B", "It is iron"),
    ],
)
def test_what_is_no_clear_letter_is_invalid(answer: str) -> None:
    parsed = parse_letter(answer, "ABCD")
    assert (parsed.value, parsed.status) == (None, "invalid")
    assert parsed.reason
    score = accuracy(parsed, "A")
    assert (score.value, score.status) == (0, "invalid")


def test_other_parsers() -> None:
    assert parse_letter("2) ice", ["1", "2"]).value == "2"
    assert parse_letter("", "AB").status == "empty"
    labels = ["spam", "not spam"]
    assert parse_label("Label: **Not spam**.", labels).value == "not spam"
    assert parse_label("This is spam", labels).status == "invalid"
    assert parse_label(" ", labels).status == "empty"
    signature = 'def f(x):\n    """Doc."""\n'
    for answer in ("    return x", "return x", "a\n```python\ndef f(x):\n  return x\n```\nb"):
        assert parse_function(answer, signature, "f").status == "ok"
    for answer in ("Sure, here you are.", "```python\ndef f(x):\n    return (```"):
        assert parse_function(answer, signature, "f").status == "invalid"


@given(st.text())
def test_parsers_take_anything(answer: str) -> None:
    assert parse_letter(answer, "ABCD").status in ("ok", "empty", "invalid")
    assert parse_label(answer, ["x", "y"]).status in ("ok", "empty", "invalid")
    assert parse_function(answer, "def f():\n", "f").status in ("ok", "empty", "invalid")


def test_tally() -> None:
    right, wrong = Score("accuracy", 1.0), Score("accuracy", 0.0)
    lost = Score("accuracy", 0.0, "invalid", "?")
    assert vars(tally([right, wrong, lost, right])) == {
        "n": 4,
        "correct": 2,
        "invalid": 1,
        "empty": 0,
    }
    with pytest.raises(ValueError, match="too long"):
        tally([right, Score("accuracy", None, "undefined", "too long")])
