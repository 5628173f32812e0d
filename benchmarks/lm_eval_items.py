"""lm-eval's numbers, item by item: ``python benchmarks/lm_eval_items.py --data DIR``.

Asks a seeded sample of ARC-Challenge and MMLU of the same float32 weights in three ways: lm-eval on
Transformers, our own log-probabilities by Transformers, and those by llama.cpp. Prints one table,
each way against lm-eval. Exit status 1 when a pick of ours on Transformers differs from lm-eval's.
"""

import argparse
import asyncio
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inferometer import environments
from inferometer.artifacts import catalog, fetch
from inferometer.errors import UserError
from inferometer.quality.benchmarks import BENCHMARKS, offline_items
from inferometer.quality.harness import HarnessItem, evaluate_offline
from inferometer.quality.items import ChoiceItem
from inferometer.quality.measuring import chosen
from inferometer.quality.multiple_choice import (
    ChoiceResult,
    LogProb,
    Style,
    judge,
    requests,
    score_items,
)
from inferometer.stacks.llamacpp_inprocess import LlamaCppInProcess
from inferometer.stacks.server import free_port, running
from inferometer.stacks.worker import WorkerClient

ROOT = Path(__file__).parents[1]
FOLDER, FILE = "smollm2-135m-f32", "smollm2-135m-f32-gguf"
"""The same float32 weights, for Transformers and for llama.cpp."""
SEED = 124
TOGETHER = 8
READY_LIMIT_S = 180.0
CALL_LIMIT_S = 600.0
ROW = "{:14} {:24} {:>6} {:>22} {:>16} {:>16} {:>10}"
HEAD = ("benchmark", "by", "items", "largest difference", "other picks", "by length", "accuracy")
Asked = dict[str, tuple[list[ChoiceItem], Style]]
Results = dict[str, list[ChoiceResult]]


@dataclass(frozen=True)
class Gap:
    """Results against lm-eval's: log-probabilities in nats, items whose pick is another one."""

    largest: float
    other_picks: list[str]
    other_by_length: list[str]


def by_lm_eval(asked: Asked, model: Path) -> Results:
    """lm-eval's log-probabilities, and its own `acc` and `acc_norm` for each item.

    Raises SystemExit when its accuracy is not that of the pick by its log-probabilities: then the
    items were mixed up.
    """
    found = evaluate_offline(ROOT, model, {**asked})
    results: Results = {}
    for name, (items, style) in asked.items():
        by_id = {one.item: one for one in found.items if one.task.endswith(name)}
        if set(by_id) != {item.id for item in items}:
            sys.exit(f"{name}: lm-eval answered other items than were asked")
        results[name] = [_judged(item, style, by_id[item.id]) for item in items]
    return results


def _judged(item: ChoiceItem, style: Style, seen: HarnessItem) -> ChoiceResult:
    result = judge(item, style, [LogProb(value, 1) for value in seen.log_probs])
    theirs = (seen.accuracy, seen.accuracy_by_length)
    ours = (result.accuracy.value, result.accuracy_by_length.value)
    if any(b is not None and a != b for a, b in zip(ours, theirs, strict=True)):
        sys.exit(f"{item.id}: lm-eval's accuracy {theirs} is not that of its own numbers, {ours}")
    return result


async def by_llamacpp(asked: Asked, model: Path) -> Results:
    """The same choices by llama.cpp in process; weights, KV cache and arithmetic in float32."""
    stack = LlamaCppInProcess()
    settings = stack.settings_model(kv_type="f32", flash_attention="off")
    python = environments.ensure(ROOT, str(stack.environment_for(settings))).python
    launch = stack.launch(settings, model, python, free_port())
    results: Results = {}
    with tempfile.TemporaryDirectory(prefix="inferometer-lm-eval-") as folder:
        log = Path(folder, "worker.log")
        async with (
            running(stack, settings, launch, log, ready_limit_s=READY_LIMIT_S) as server,
            WorkerClient(server.base_url, CALL_LIMIT_S, 0.0, server) as worker,
        ):
            for name, (items, style) in asked.items():
                results[name] = await _answered(worker, items, style)
    return results


async def _answered(
    worker: WorkerClient, items: Sequence[ChoiceItem], style: Style
) -> list[ChoiceResult]:
    results = []
    for start in range(0, len(items), TOGETHER):
        part = items[start : start + TOGETHER]
        groups = [requests(item, style) for item in part]
        flat = [(one.context, one.continuation) for group in groups for one in group]
        found = iter(await worker.log_probs(flat))
        results += [
            judge(item, style, [LogProb(**next(found)) for _ in group])
            for item, group in zip(part, groups, strict=True)
        ]
    return results


def gap(ours: Sequence[ChoiceResult], theirs: Sequence[ChoiceResult]) -> Gap:
    """What parts the results of the same items; infinite where a log-probability is missing."""
    largest = 0.0
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine.log_probs, other.log_probs, strict=True):
            apart = math.inf if a is None or b is None else abs(a - b)
            largest = max(largest, apart)
    pairs = list(zip(ours, theirs, strict=True))
    return Gap(
        largest,
        [a.item for a, b in pairs if a.picked != b.picked],
        [a.item for a, b in pairs if a.picked_by_length != b.picked_by_length],
    )


def accuracy(results: Sequence[ChoiceResult]) -> float:
    """Share of right picks; an item without a pick is not right."""
    return sum(one.accuracy.value or 0.0 for one in results) / len(results)


def table(name: str, ways: dict[str, list[ChoiceResult]]) -> bool:
    """Print the rows of a benchmark, lm-eval first; whether Transformers picks the same."""
    theirs = ways["lm-eval"]
    same = True
    for way, results in ways.items():
        seen = gap(results, theirs)
        shown = ("-", "-", "-")
        if way != "lm-eval":
            shown = (
                f"{seen.largest:.2g} nats",
                f"{len(seen.other_picks)}",
                f"{len(seen.other_by_length)}",
            )
        print(ROW.format(name, way, len(results), *shown, f"{accuracy(results):.4f}"))
        if way == "Transformers":
            same = not seen.other_picks and not seen.other_by_length
        if other := sorted({*seen.other_picks, *seen.other_by_length}):
            print(f"  picked differently: {', '.join(other)}")
    return same


def main() -> int:
    """Ask all three, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the items")
    parser.add_argument("--items", type=int, default=40, help="of each benchmark; 0 for all")
    given = parser.parse_args()
    if given.items < 0:
        parser.error("--items: 0 or more")
    try:
        return compared(given.data, given.items)
    except UserError as error:
        sys.exit(str(error))


def compared(data: Path, count: int) -> int:
    """0 when Transformers picks as lm-eval does."""
    asked: Asked = {}
    for name, one in BENCHMARKS.items():
        found = chosen(offline_items(name, data).items, count, f"{SEED}/{name}")
        asked[name] = (found, one.style)
    folder, file = (fetch.fetch(name, catalog.shipped(), ROOT).path for name in (FOLDER, FILE))
    begun = time.perf_counter()
    theirs = by_lm_eval(asked, folder)
    print(f"lm-eval: {time.perf_counter() - begun:.0f} s", flush=True)
    begun = time.perf_counter()
    ours = {name: score_items(ROOT, folder, *those) for name, those in asked.items()}
    print(f"Transformers: {time.perf_counter() - begun:.0f} s", flush=True)
    begun = time.perf_counter()
    third = asyncio.run(by_llamacpp(asked, file))
    print(f"llama.cpp: {time.perf_counter() - begun:.0f} s\n", flush=True)
    print(ROW.format(*HEAD))
    same = [
        table(
            name,
            {"lm-eval": theirs[name], "Transformers": ours[name], "llama.cpp": third[name]},
        )
        for name in asked
    ]
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
