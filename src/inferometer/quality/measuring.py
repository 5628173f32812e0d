"""Cells of quality: a SUT is asked every item once, and its answers are scored when all are there.

Records: `items` (which set was asked, by digest), `answer` (the text, why it ended, its tokens and
seconds), `score` (a metric of an answer; see `quality.entries`). Nothing here is a timing to
report: speed is measured in cells of its own, at fixed lengths.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import Field

from inferometer.errors import NotTestableHere
from inferometer.load.cell import ClosedLoopEffort
from inferometer.quality.benchmarks import offline_items
from inferometer.quality.chat import ChatTemplate, Prompt, read_template
from inferometer.quality.items import ChoiceItem, ItemSet
from inferometer.quality.multiple_choice import letter_question
from inferometer.quality.parsing import accuracy, parse_letter
from inferometer.quality.score_run import ITEMS, Answer, score_answers
from inferometer.quality.tasks import TASKS
from inferometer.session import CellOutcome, CellRun
from inferometer.stacks.base import GenerationRequest
from inferometer.subjects import Served

SCORES = Path(".inferometer/scores")
LETTER_TOKENS = 8
"""Room for `The answer is B.`"""
GONE = ("refused", "disconnected")
"""How requests end when nobody answers any more."""
NO_FOLDER = (
    "items of public benchmarks are in no repository: bring them into a folder by "
    "`inferometer benchmarks FOLDER` and name it as quality.data_dir (docs/quality.md)"
)


class QualityEffort(ClosedLoopEffort):
    """How much is asked, 0 for all there is, and the effort of cells that measure speed.

    `items` of each generation task, `benchmark_items` of each public benchmark, `texts` for
    perplexity, `sampled_items` of each task at a temperature above 0. `longest_answer` caps the
    tasks' own limits of tokens; `deadline_s` bounds one answer, too.
    """

    items: int = Field(default=0, ge=0)
    benchmark_items: int = Field(default=0, ge=0)
    texts: int = Field(default=0, ge=0)
    sampled_items: int = Field(default=0, ge=0)
    longest_answer: int = Field(default=384, ge=1)


@dataclass(frozen=True)
class Question:
    """One thing to ask: where it is from, the prompt, and how long the answer may be."""

    task: str
    item: str
    prompt: Prompt
    output_tokens: int


def chosen(items: Sequence[Any], count: int, seed: str) -> list[Any]:
    """A seeded sample of the items in their order; all where `count` is 0 or more than there are.

    A sample and not the first ones: files are in the order of their subjects.
    """
    if not count or count >= len(items):
        return list(items)
    kept = sorted(random.Random(seed).sample(range(len(items)), count))
    return [items[index] for index in kept]


async def measure_answers(run: CellRun) -> CellOutcome:
    """Ask the items of every generation task and score the answers.

    Levels: `batch` (questions under way at a time), `repetition` (from 1), and `temperature` where
    the cell has one: then fewer items are asked, each repetition with other seeds.
    """
    levels, effort = run.cell.levels, run.effort
    temperature = float(levels.get("temperature", 0.0))
    template = _template(run)
    questions = []
    for task in TASKS.values():
        found = task.load(run.root / ITEMS)
        count = effort.sampled_items if temperature else effort.items
        asked = chosen(found.items, count, f"{run.design.seed}/{task.name}")
        run.append(items_record(task.name, found, len(asked), template))
        longest = min(task.max_output_tokens, effort.longest_answer)
        questions += [
            Question(task.name, item.id, template.prompt(task.prompt(item)), longest)
            for item in asked
        ]
    records = await _ask(run, questions, temperature)
    answers = [
        Answer(r["task"], r["item"], "this", 0, r["text"], r["finish_reason"] or r["status"])
        for r in records
    ]
    with run.aside():
        scored = await asyncio.to_thread(score_answers, run.root, answers, run.root / SCORES)
    for row in scored.rows():
        kept = {key: row[key] for key in ("task", "item", "metric", "value", "status", "reason")}
        run.append({"kind": "score", **kept, "cluster": None})
    return _outcome(run, records, {"items_digests": scored.items_sha256, "scorers": scored.facts})


async def measure_letters(run: CellRun) -> CellOutcome:
    """Ask the items of a benchmark in words and read the letter of the answer, strictly.

    Level: `benchmark`. Not testable without a configured folder.
    """
    name = str(run.cell.levels["benchmark"])
    if run.data_dir is None:
        return CellOutcome(None, None, [], not_testable=NO_FOLDER)
    template, found = _template(run), offline_items(name, run.data_dir)
    asked = chosen(found.items, run.effort.benchmark_items, f"{run.design.seed}/{name}")
    run.append(items_record(name, found, len(asked), template))
    questions = [
        Question(name, item.id, template.prompt(letter_question(item)), LETTER_TOKENS)
        for item in asked
    ]
    records = await _ask(run, questions, 0.0)
    for item, record in zip(asked, records, strict=True):
        run.append(_letter_score(name, item, record))
    return _outcome(run, records, {"items_digests": {name: found.sha256}})


def items_record(
    task: str, found: ItemSet[Any], asked: int, template: ChatTemplate | None = None
) -> dict[str, Any]:
    """Which set was asked, by digest, and what was wrong with it."""
    return {
        **{"kind": "items", "task": task, "items_sha256": found.sha256, "asked": asked},
        **{"sound": len(found.items), "faulty": len(found.faults)},
        **{"faults": [str(fault) for fault in found.faults]},
        "template_sha256": template.sha256 if template else None,
        "template_source": template.source if template else None,
    }


def _letter_score(name: str, item: ChoiceItem, record: dict[str, Any]) -> dict[str, Any]:
    about = {"kind": "score", "task": name, "item": item.id, "metric": "accuracy"}
    if record["text"] is None:
        lost = {"value": None, "status": "undefined", "reason": record["error"]}
        return {**about, **lost, "cluster": item.subject}
    score = accuracy(parse_letter(record["text"], item.names), item.answer)
    said = {"value": score.value, "status": score.status, "reason": score.reason}
    return {**about, **said, "cluster": item.subject}


def _template(run: CellRun) -> ChatTemplate:
    """The template of the artifact that the SUT runs."""
    artifact = run.suts[0].artifact
    if artifact is None:
        raise NotTestableHere("a server by URL has no artifact of ours, and so no chat template")
    return read_template(artifact.path, artifact=artifact.name)


async def _ask(
    run: CellRun, questions: Sequence[Question], temperature: float
) -> list[dict[str, Any]]:
    """An `answer` record for each question, in their order; appended as they come."""
    (served, *_) = run.suts
    # a stack that cannot do what is asked says so before anything is sent
    served.client.dialect.request(GenerationRequest("", 1, 0, True, temperature))
    places = asyncio.Semaphore(int(run.cell.levels.get("batch", 1)))
    first = f"{run.cell.levels.get('repetition', 1)}"

    async def ask(number: int, question: Question) -> dict[str, Any]:
        seed = random.Random(f"{run.design.seed}/{first}/{number}").randrange(2**31)
        async with places:
            record = await _answer(run, served, number, question, seed, temperature)
        run.append(record)
        return record

    return list(await asyncio.gather(*(ask(n, q) for n, q in enumerate(questions))))


async def _answer(
    run: CellRun, served: Served, number: int, question: Question, seed: int, temperature: float
) -> dict[str, Any]:
    ids = await _ids(run, served, question.prompt)
    asked = GenerationRequest(ids, question.output_tokens, seed, True, temperature)
    seen = await served.client.generate(
        asked, agent=0, sequence=number, limit_s=run.effort.deadline_s, keep_text=True
    )
    good = seen["status"] == "ok"
    ended = seen["done_s"]
    return {
        **{"kind": "answer", "task": question.task, "item": question.item},
        "text": seen["text"] if good else None,
        **{key: seen[key] for key in ("finish_reason", "status", "error", "prompt_tokens")},
        **{key: seen[key] for key in ("completion_tokens", "cached_tokens", "sent_s")},
        "seconds": round(ended - seen["sent_s"], 6) if good and ended is not None else None,
        "under_way": int(run.cell.levels.get("batch", 1)),
    }


async def _ids(run: CellRun, served: Served, prompt: Prompt) -> list[int] | str:
    """The prompt's token ids; its text where the server gives none, or does not answer.

    A text goes without its beginning-of-text token, which a server puts before texts itself.
    """
    client = served.client
    try:
        async with asyncio.timeout(run.effort.deadline_s):
            return await client.dialect.tokenize(client.http, client.base_url, prompt.text)
    except (NotTestableHere, TimeoutError, aiohttp.ClientError, OSError):
        return prompt.text_without_bos  # whatever is wrong shows in the answer's record


def _outcome(run: CellRun, records: Sequence[dict[str, Any]], facts: dict[str, Any]) -> CellOutcome:
    """The cell, invalid where too many answers never came: a broken server is no bad quality.

    Fewer lost items have no score, and are left out on both sides of a comparison. A server that
    is gone is started anew for the next cell.
    """
    lost = [record for record in records if record["text"] is None]
    reasons = []
    if len(lost) > run.design.gates.failed_fraction * len(records):
        first = lost[0]
        reasons.append(
            f"{len(lost)} of {len(records)} items have no answer; the first, {first['item']}: "
            f"{first['error']}"
        )
    gone = any(record["status"] in GONE for record in lost)
    return CellOutcome(None, None, reasons, facts=facts, restart=gone)
