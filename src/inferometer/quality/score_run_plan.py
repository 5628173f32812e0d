"""What a scoring run has to do: for each answer its scores, or the keys of those to compute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferometer.errors import UserError
from inferometer.quality.items import ItemSet
from inferometer.quality.score_run_metrics import TEXT, Metrics
from inferometer.quality.scoring import Score
from inferometer.quality.tasks import TASKS
from inferometer.quality.text_metrics import empty_score


@dataclass(frozen=True)
class Answer:
    """What a SUT answered to an item.

    `repetition` counts from 0; `finish` is why the generation ended (`stop`, `length`, an error);
    `text` is None where there is no answer at all, which is not the same as an empty one.
    """

    task: str
    item: str
    sut: str
    repetition: int
    text: str | None
    finish: str


@dataclass(frozen=True)
class Plan:
    """The scores of one answer by metric: those that are clear already, and the keys of others."""

    task: str
    item: Any
    text: str
    clear: dict[str, Score]
    keys: dict[str, str]

    def scores(
        self, found: Mapping[str, Score], names: Mapping[str, str], why: Mapping[str, str]
    ) -> tuple[Score, ...]:
        """All of them, in the order of the task's metrics; `why` has the reasons of the missing."""
        scores = []
        for metric in TASKS[self.task].metrics:
            if metric in self.clear:
                scores.append(self.clear[metric])
            elif metric in self.keys:
                lost = Score(names[metric], None, "not testable here", why.get(metric))
                scores.append(found.get(self.keys[metric], lost))
        return tuple(scores)


def check(answers: Sequence[Answer]) -> None:
    """Raise `UserError` when an answer is there twice."""
    seen = set()
    for one in answers:
        key = (one.task, one.item, one.sut, one.repetition)
        if key in seen:
            raise UserError(
                f"answers: {one.task} {one.item} of {one.sut}, repetition {one.repetition}, is "
                "there twice; number repetitions from 0"
            )
        seen.add(key)


def plan(answer: Answer, items: ItemSet[Any], how: Metrics) -> Plan:
    """What one answer needs; metrics whose encoder was left out are not in it."""
    wanted = [metric for metric in TASKS[answer.task].metrics if metric in how.versions]
    item = next((one for one in items.items if one.id == answer.item), None)
    why = None
    if item is None:
        fault = next((str(one) for one in items.faults if one.id == answer.item), None)
        why = f"item {answer.item} is faulty: {fault}" if fault else f"no item {answer.item}"
    elif answer.text is None:
        why = f"there is no answer: {answer.finish}"
    if why is not None or item is None or answer.text is None:
        lost = {m: Score(how.names[m], None, "undefined", why) for m in wanted}
        return Plan(answer.task, item, "", lost, {})
    # half a surrogate pair, where a generation was cut off, is no text: it becomes a question mark
    text = answer.text.encode(errors="replace").decode()
    clear = {m: empty_score(how.names[m]) for m in wanted if m in TEXT and not text.strip()}
    keys = {m: how.key(answer.task, item, text, m) for m in wanted if m not in clear}
    return Plan(answer.task, item, text, clear, keys)


def missing(plans: Sequence[Plan], found: Mapping[str, Score]) -> list[Plan]:
    """The plans with the keys that are not found, each key once; others are left out."""
    taken: set[str] = set()
    work = []
    for one in plans:
        keys = {m: k for m, k in one.keys.items() if k not in found and k not in taken}
        taken |= set(keys.values())
        if keys:
            work.append(Plan(one.task, one.item, one.text, one.clear, keys))
    return work
