"""Cells below the level of answers: log-probabilities of choices and of every token of a text.

They need a worker (stacks `llamacpp_inprocess` and `transformers`) and no sampling: what a model
holds likely shows long before an answer changes. Records: `choice` (an item's log-probabilities and
pick), `score` (see `quality.entries`), and `text` (one text: its tokens, their negative
log-likelihood, and what parts it from the reference).
"""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from inferometer.errors import UserError
from inferometer.quality.benchmarks import benchmark, offline_items
from inferometer.quality.items import ChoiceItem
from inferometer.quality.measuring import NO_FOLDER, chosen, items_record
from inferometer.quality.multiple_choice import ChoiceResult, LogProb, judge, requests
from inferometer.quality.score_run import ITEMS
from inferometer.quality.tasks import TASKS
from inferometer.session import CellOutcome, CellRun
from inferometer.stacks.worker import WorkerGone, WorkerTimeout

TEXTS = "summarization"
"""The task whose texts are the project's own text for perplexity: prose, one sequence each."""
TOGETHER = 8
"""Items sent in one call, so that progress and limits of time are by call."""


async def measure_choices(run: CellRun) -> CellOutcome:
    """Pick each item's choice by log-probability, as lm-eval does. Level: `benchmark`."""
    name = str(run.cell.levels["benchmark"])
    if run.data_dir is None:
        return CellOutcome(None, None, [], not_testable=NO_FOLDER)
    (sut, *_) = run.suts
    style, found = benchmark(name).style, offline_items(name, run.data_dir)
    asked = chosen(found.items, run.effort.benchmark_items, f"{run.design.seed}/{name}")
    run.append(items_record(name, found, len(asked)))
    facts = {"items_digests": {name: found.sha256}}
    for start in range(0, len(asked), TOGETHER):
        part = asked[start : start + TOGETHER]
        groups = [requests(item, style) for item in part]
        flat = [(one.context, one.continuation) for group in groups for one in group]
        try:
            answered = iter(await sut.worker.log_probs(flat))
        except (WorkerGone, WorkerTimeout, UserError) as why:
            return _broken(f"{len(asked) - start} of {len(asked)} items", why, facts)
        for item, group in zip(part, groups, strict=True):
            result = judge(item, style, [LogProb(**next(answered)) for _ in group])
            _enter_choice(run, name, item, result)
    return CellOutcome(None, None, [], facts=facts)


async def measure_texts(run: CellRun) -> CellOutcome:
    """Negative log-likelihood of the project's own texts, and divergence from a companion.

    The companion is the reference (the baseline of a level, the other runtime): it writes its
    log-probabilities of every token to a file that the SUT reads. Without one the divergence is
    missing. Both must cut the texts into the same tokens.
    """
    sut, *others = run.suts
    found = TASKS[TEXTS].load(run.root / ITEMS)
    asked = chosen(found.items, run.effort.texts, f"{run.design.seed}/{TEXTS}")
    run.append(items_record(TEXTS, found, len(asked)))
    facts, faults = {"items_digests": {TEXTS: found.sha256}}, []
    with tempfile.TemporaryDirectory(prefix="inferometer-log-probs-") as folder:
        reference = str(Path(folder, "reference.npy"))
        for done, item in enumerate(asked):
            try:
                read = await _read_text(sut, others, item.text, reference)
            except (WorkerGone, WorkerTimeout) as why:
                return _broken(f"{len(asked) - done} of {len(asked)} texts", why, facts)
            run.append({"kind": "text", "task": TEXTS, "item": item.id, **read})
            faults += [f"{item.id}: {read['error']}"] if "error" in read else []
    reasons = [f"{len(faults)} of {len(asked)} texts; the first, {faults[0]}"] if faults else []
    return CellOutcome(None, None, reasons, facts=facts)


async def _read_text(sut: Any, others: list[Any], text: str, reference: str) -> dict[str, Any]:
    """What is seen of a text; `error` says why there is no likelihood or no divergence."""
    theirs: dict[str, Any] = {}
    seen: dict[str, Any] = {"tokens": None, "nll": None, "ids_sha256": None}
    error = None
    try:
        for other in others:
            theirs = await other.worker.text_log_probs(text, write=reference)
        seen = await sut.worker.text_log_probs(text, against=reference if others else None)
    except UserError as why:
        error = str(why)
        with suppress(UserError):  # of other tokens than the reference's is the likelihood good
            seen = await sut.worker.text_log_probs(text)
    same = theirs.get("ids_sha256", seen["ids_sha256"]) == seen["ids_sha256"]
    found = {"same_tokens": same, "reference_nll": theirs.get("nll"), **seen}
    if seen["nll"] is not None and not same:
        error = "the reference cuts it into other tokens"
    return found if error is None else found | {"error": error}


def _broken(what: str, why: Exception, facts: dict[str, Any]) -> CellOutcome:
    """The rest of a cell is lost; a worker that is lost with it is started anew for the next."""
    reasons = [f"{what} were not read: {why}"]
    return CellOutcome(None, None, reasons, facts=facts, restart=not isinstance(why, UserError))


def _enter_choice(run: CellRun, task: str, item: ChoiceItem, result: ChoiceResult) -> None:
    log_probs = result.log_probs
    right = log_probs[item.gold]
    about = {"task": task, "item": item.id, "cluster": item.subject}
    run.append(
        {
            **{"kind": "choice", **about, "gold": item.gold, "picked": result.picked},
            **{"picked_by_length": result.picked_by_length, "log_probs": list(log_probs)},
            "right_log_prob": right,
        }
    )
    scores: list[tuple[str, Any]] = [("accuracy", result.accuracy)]
    if benchmark(task).style == "text":
        scores.append(("accuracy_by_length", result.accuracy_by_length))
    for metric, score in scores:
        said = {"value": score.value, "status": score.status, "reason": score.reason}
        run.append({"kind": "score", **about, "metric": metric, **said})
    why = None if right is not None else result.accuracy.reason
    status = "ok" if right is not None else "undefined"
    said = {"value": right, "status": status, "reason": why}
    run.append({"kind": "score", **about, "metric": "right_log_prob", **said})
