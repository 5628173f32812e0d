"""lm-eval (EleutherAI's evaluation harness) over items of our own files, or over its hub tasks."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inferometer import environments
from inferometer.errors import NotTestableHere, UserError
from inferometer.quality.benchmarks import Benchmark, benchmark, offline_items
from inferometer.quality.items import LETTERS, ChoiceItem
from inferometer.quality.multiple_choice import Style, answers, context
from inferometer.quality.process import Progress, run_host

ENVIRONMENT = "quality"
PREFIX = "inferometer_"


@dataclass(frozen=True)
class HarnessItem:
    """What lm-eval found for one item; `accuracy_by_length` is None where its task has none."""

    task: str
    item: str
    log_probs: tuple[float, ...]
    gold: int
    accuracy: float
    accuracy_by_length: float | None


@dataclass(frozen=True)
class HarnessRun:
    """All items of a run, lm-eval's own totals by task, and the versions it ran with."""

    items: tuple[HarnessItem, ...]
    totals: dict[str, dict[str, Any]]
    facts: dict[str, str]


def write_task(folder: Path, name: str, items: Sequence[ChoiceItem], style: Style) -> str:
    """Write a task of lm-eval (YAML) and its items (JSON lines) into `folder`; returns its name.

    Prompts are written out, so that its templates have nothing left to do.
    """
    task = f"{PREFIX}{name}"
    rows = [
        {"id": i.id, "prompt": context(i, style), "answers": answers(i, style), "gold": i.gold}
        for i in items
    ]
    data = folder / f"{task}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    metrics = ["acc", "acc_norm"] if style == "text" else ["acc"]
    content = {
        "task": task,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{prompt}}",
        "doc_to_choice": "{{answers}}",
        "doc_to_target": "{{gold}}",
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True}
            for metric in metrics
        ],
        "metadata": {"version": 1.0},
    }
    (folder / f"{task}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return task


def evaluate_offline(
    root: Path,
    model: Path,
    items: dict[str, tuple[Sequence[ChoiceItem], Style]],
    *,
    dtype: str = "float32",
    batch: int = 1,
    limit_s: float = 3600.0,
    on_progress: Progress | None = None,
) -> HarnessRun:
    """Evaluate a Hugging Face folder on items of ours, by name, without a network.

    Raises `UserError` with lm-eval's last line when it fails.
    """
    with tempfile.TemporaryDirectory(prefix="inferometer-tasks-") as folder:
        tasks = [
            write_task(Path(folder), name, some, style) for name, (some, style) in items.items()
        ]
        job = {"tasks": tasks, "include_path": folder, "offline": True}
        return _evaluate(root, model, job, dtype, batch, limit_s, on_progress)


def evaluate_hub(
    root: Path,
    model: Path,
    benchmark: Benchmark,
    *,
    dtype: str = "float32",
    batch: int = 1,
    limit_s: float = 14400.0,
    on_progress: Progress | None = None,
) -> HarnessRun:
    """Evaluate on lm-eval's own task, whose items come from the hub.

    Raises `NotTestableHere` where the hub cannot be reached; other errors as above.
    """
    job = {"tasks": [benchmark.hub_task], "include_path": None, "offline": False}
    return _evaluate(root, model, job, dtype, batch, limit_s, on_progress)


def hub_items(
    root: Path,
    benchmark: Benchmark,
    *,
    count: int = 0,
    include_path: Path | None = None,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The items of lm-eval's own task as lines of `offline_items`, and the versions that gave them.

    `count` keeps so many, evenly spaced over its tasks (MMLU has one a subject); 0 keeps all.
    `include_path` is a folder with tasks that take the place of lm-eval's. Raises
    `NotTestableHere` where the hub cannot be reached.
    """
    include = str(include_path) if include_path else None
    job = {"tasks": [benchmark.hub_task], "include_path": include, "offline": False}
    found = _run_lm_eval(root, job, limit_s=3600.0)
    lines = [
        _line(doc, f"{task}_{index:05d}")
        for task, docs in found["docs"].items()
        for index, doc in enumerate(docs)
    ]
    kept = min(count or len(lines), len(lines))
    return [lines[place * len(lines) // kept] for place in range(kept)], found["facts"]


def _line(doc: dict[str, Any], otherwise: str) -> dict[str, Any]:
    """A row of the dataset, of ARC or of MMLU, in our own terms."""
    if "answerKey" in doc:
        line = {"labels": doc["choices"]["label"], "choices": doc["choices"]["text"]}
        line |= {"answer": doc["answerKey"]}
    else:
        line = {"subject": doc["subject"].replace("_", " ")}
        line |= {"choices": doc["choices"], "answer": LETTERS[doc["answer"]]}
    return {"id": str(doc.get("id", otherwise)), "question": doc["question"], **line}


def evaluate(
    root: Path,
    model: Path,
    name: str,
    data_dir: Path | None,
    *,
    dtype: str = "float32",
    batch: int = 1,
    on_progress: Progress | None = None,
) -> HarnessRun:
    """Evaluate on a benchmark: its items in `quality.data_dir`, else lm-eval's task of the hub.

    A faulty line of the folder's file is left out; `offline_items` names it, and gives the digest
    of the others. Raises as `evaluate_hub`, and `UserError` where the folder lacks the file.
    """
    asked = benchmark(name)
    if data_dir is None:
        return evaluate_hub(root, model, asked, dtype=dtype, batch=batch, on_progress=on_progress)
    items: tuple[Sequence[ChoiceItem], Style] = offline_items(name, data_dir).items, asked.style
    return evaluate_offline(
        root, model, {name: items}, dtype=dtype, batch=batch, on_progress=on_progress
    )


def _evaluate(
    root: Path,
    model: Path,
    job: dict[str, Any],
    dtype: str,
    batch: int,
    limit_s: float,
    on_progress: Progress | None,
) -> HarnessRun:
    if not (model / "config.json").is_file():
        raise UserError(f"{model}: no config.json; lm-eval takes a folder in Hugging Face format")
    job |= {"model": str(model), "dtype": dtype, "batch": batch}
    found = _run_lm_eval(root, job, limit_s, on_progress)
    return HarnessRun(
        tuple(
            HarnessItem(**{**one, "log_probs": tuple(one["log_probs"])}) for one in found["items"]
        ),
        found["totals"],
        found["facts"],
    )


def _run_lm_eval(
    root: Path, job: dict[str, Any], limit_s: float, on_progress: Progress | None = None
) -> dict[str, Any]:
    python = environments.ensure(root, ENVIRONMENT).python
    found = run_host(python, "quality_lm_eval", job, limit_s=limit_s, on_progress=on_progress)
    if found.get("unreachable"):
        raise NotTestableHere(
            f"lm-eval's task {job['tasks'][0]} needs the dataset hub: {found['unreachable']}; "
            "name a folder with its items as quality.data_dir (docs/quality.md)"
        )
    return found
