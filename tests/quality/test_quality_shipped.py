"""The items that ship with tr124: sound, fifty a task, and every solution passes its checks."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from checkouts import REPOSITORY

from inferometer.quality.items import CodeItem
from inferometer.quality.parsing import parse_label
from inferometer.quality.sandbox import score_code
from inferometer.quality.scoring import exact_match
from inferometer.quality.tasks import TASKS

ITEMS = REPOSITORY / "experiments" / "tr124_quality_baseline" / "items"


@pytest.mark.parametrize("name", TASKS)
def test_fifty_sound_items(name: str) -> None:
    items = TASKS[name].load(ITEMS).sound().items
    assert len(items) == 50
    prompts = [TASKS[name].prompt(item) for item in items]
    assert len(set(prompts)) == 50
    assert all(50 < len(prompt) < 1200 for prompt in prompts if name != "creative")


def test_every_solution_passes_its_checks() -> None:
    items: list[CodeItem] = list(TASKS["code"].load(ITEMS).items)
    with ThreadPoolExecutor(2) as pool:
        scores = list(pool.map(lambda item: score_code(item.solution, item), items))
    failed = {item.id: s.reason for item, s in zip(items, scores, strict=True) if s.value != 1}
    assert not failed


def test_no_check_passes_without_the_function() -> None:
    items: list[CodeItem] = list(TASKS["code"].load(ITEMS).items)
    with ThreadPoolExecutor(2) as pool:
        scores = list(pool.map(lambda item: score_code("    return None", item), items))
    assert [i.id for i, s in zip(items, scores, strict=True) if s.value == 1] == []


def test_references_score_as_right_answers() -> None:
    for item in TASKS["qa"].load(ITEMS).items:
        assert all(exact_match(answer, item.references).value == 1 for answer in item.references)
    for item in TASKS["classification"].load(ITEMS).items:
        assert parse_label(item.answer, item.labels).value == item.answer
