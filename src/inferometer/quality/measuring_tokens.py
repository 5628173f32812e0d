"""Cells below the level of answers: log-probabilities of choices and of every token of a text.

They need a worker (stacks `llamacpp_inprocess` and `transformers`) and no sampling: what a model
holds likely shows long before an answer changes. Records: `choice` (an item's log-probabilities and
pick), `score` (see `quality.entries`), and `text` (one text: its tokens, their negative
log-likelihood, and what parts it from the reference).
"""

import tempfile
from pathlib import Path
from typing import Any

from inferometer.quality.benchmarks import benchmark, offline_items
from inferometer.quality.items import ChoiceItem
from inferometer.quality.measuring import NO_FOLDER, chosen, items_record
from inferometer.quality.multiple_choice import ChoiceResult, LogProb, judge, requests
from inferometer.quality.score_run import ITEMS
from inferometer.quality.tasks import TASKS
from inferometer.session import CellOutcome, CellRun

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
    for start in range(0, len(asked), TOGETHER):
        part = asked[start : start + TOGETHER]
        groups = [requests(item, style) for item in part]
        flat = [(one.context, one.continuation) for group in groups for one in group]
        answered = iter(await sut.worker.log_probs(flat))
        for item, group in zip(part, groups, strict=True):
            result = judge(item, style, [LogProb(**next(answered)) for _ in group])
            _enter_choice(run, name, item, result)
    return CellOutcome(None, None, [], facts={"items_sha256": {name: found.sha256}})


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
    different = 0
    with tempfile.TemporaryDirectory(prefix="inferometer-log-probs-") as folder:
        for item in asked:
            against, theirs = None, {}
            if others:
                against = str(Path(folder, "reference.npy"))
                theirs = await others[0].worker.text_log_probs(item.text, write=against)
            seen = await sut.worker.text_log_probs(item.text, against=against)
            same = theirs.get("ids_sha256", seen["ids_sha256"]) == seen["ids_sha256"]
            different += not same
            about = {"kind": "text", "task": TEXTS, "item": item.id, "same_tokens": same}
            run.append({**about, "reference_nll": theirs.get("nll"), **seen})
    reasons = [f"{different} texts are cut into other tokens by the reference"] if different else []
    return CellOutcome(None, None, reasons, facts={"items_sha256": {TEXTS: found.sha256}})


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
