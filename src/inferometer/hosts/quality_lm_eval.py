"""Run tasks of lm-eval on a Hugging Face folder: `quality_lm_eval.py JOB ANSWER`.

A job without a `model` asks for the items of the tasks, as their dataset has them. Runs in the
environment `quality`. What the datasets library keeps goes into a folder that is removed with the
run where items are ours, and into the user's own cache where they are the hub's.
"""

import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main() -> None:
    """Evaluate, and write items, totals and versions; or write the items alone."""
    job = json.loads(Path(sys.argv[1]).read_text())
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
    with tempfile.TemporaryDirectory() as cache:
        if job["offline"]:
            os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": cache}
        try:
            answer = _evaluate(job) if "model" in job else _items(job)
        except Exception as error:
            if job["offline"] or not _is_of_the_network(error):
                raise
            answer = {"unreachable": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    Path(sys.argv[2]).write_text(json.dumps(answer))


def _is_of_the_network(error: BaseException | None) -> bool:
    """Whether it, or what caused it, says that a host or an offline dataset was not there."""
    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError) or any(
            kind.__module__.split(".")[0] in ("requests", "httpx", "httpx2", "httpcore2")
            or kind.__name__ in ("OfflineModeIsEnabled", "LocalEntryNotFoundError")
            for kind in type(error).__mro__
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _evaluate(job: dict[str, Any]) -> dict[str, Any]:
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    given = {"pretrained": job["model"], "dtype": job["dtype"]}
    found = simple_evaluate(
        model="hf",
        model_args=given,
        tasks=job["tasks"],
        num_fewshot=0,
        batch_size=job["batch"],
        device="cuda" if torch.cuda.is_available() else "cpu",
        task_manager=TaskManager(include_path=job["include_path"]),
        bootstrap_iters=0,  # intervals are ours
        log_samples=True,
    )
    assert found is not None
    items = [
        _item(task, sample) for task, samples in found["samples"].items() for sample in samples
    ]
    totals = {
        task: {key: value for key, value in result.items() if isinstance(value, int | float | str)}
        for task, result in found["results"].items()
    }
    facts = {name: version(name) for name in ("lm-eval", "transformers", "torch", "datasets")}
    return {"items": items, "totals": totals, "facts": facts}


def _items(job: dict[str, Any]) -> dict[str, Any]:
    from lm_eval.tasks import TaskManager

    found = TaskManager(include_path=job["include_path"]).load(job["tasks"])["tasks"]
    docs = {name: [dict(doc) for doc in task.test_docs()] for name, task in sorted(found.items())}
    return {"docs": docs, "facts": {name: version(name) for name in ("lm-eval", "datasets")}}


def _item(task: str, sample: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": task,
        "item": str(sample["doc"].get("id", sample["doc_id"])),
        "log_probs": [float(one[0]) for one in sample["filtered_resps"]],
        "gold": int(sample["target"]),
        "accuracy": float(sample["acc"]),
        "accuracy_by_length": float(sample["acc_norm"]) if "acc_norm" in sample else None,
    }


if __name__ == "__main__":
    main()
