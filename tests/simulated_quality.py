"""Records of quality sessions with known truths; a stand-in for real answers."""

from dataclasses import dataclass

import numpy as np
from simulated import cell_line

from inferometer.design import Cell

ITEMS = 50
LOAD = {
    **{"added_ttft_p50_s": 1e-4, "added_ttft_p99_s": 2e-4, "schedule_lag_p99_s": 1e-4},
    "cpu_s_per_1000_tokens": 0.05,
}
BERT = "bertscore_f1:all-minilm-l6-v2:l6"
METRICS = {
    "summarization": ("rouge_l", BERT, "length_words"),
    "qa": ("contains_reference", "token_f1"),
    "classification": ("accuracy",),
}


@dataclass(frozen=True)
class Truth:
    """One SUT: what is added to its scores, which share of right answers it loses, which change.

    `scatter` is the spread, item by item, of what is added; `faulty` counts items left out of each
    task; `no_encoder` says why the metric that needs one has no value, `broken_alone` why cells of
    one question at a time are invalid.
    """

    shift: float = 0.0
    changes_in_batch: float = 0.0
    changes_when_repeated: float = 0.0
    noise: float = 0.1
    kl: float = 1e-6
    worse: float = 0.0
    lost: int = 0
    wrong: float = 0.0
    not_testable: str | None = None
    rate: float = 20.0
    scatter: float = 0.0
    prompt_tokens: int = 20
    faulty: int = 0
    no_encoder: str | None = None
    broken_alone: str | None = None
    cut_otherwise: int = 0
    """Items of a benchmark whose text the tokenizer cuts into other tokens."""
    place: int | None = None
    """The choice that is picked whatever is asked; its scores do not follow."""


def score(cell: int, task: str, item: str, metric: str, value: float | None, **more) -> dict:
    status = "ok" if value is not None else "undefined"
    record = {"kind": "score", "cell": cell, "task": task, "item": item, "metric": metric}
    return {**record, "value": value, "status": status, "reason": None, "cluster": None, **more}


def quality(task: str, index: int, metric: str, wrong: float = 0.0) -> float:
    """An item is hard or easy, for every SUT alike; `wrong` is the share of items that are lost."""
    rng = np.random.default_rng([ord(task[0]), index, len(metric)])
    if metric in ("contains_reference", "accuracy"):
        return float(rng.random() < 0.6 and rng.random() >= wrong)
    return float(rng.uniform(0.3, 0.7))


def answered(truth: Truth, index: int, cell: Cell):
    """Answers and scores of a cell of every task."""
    batch, repetition = int(cell.levels["batch"]), int(cell.levels["repetition"])
    sampled = cell.phase == "sampled"
    rng = np.random.default_rng([index, repetition, batch])
    own = np.random.default_rng(7)
    for task, metrics in METRICS.items():
        if truth.faulty:
            counts = {"asked": ITEMS, "sound": ITEMS, "faulty": truth.faulty}
            yield {"kind": "items", "cell": index, "task": task, "items_sha256": "0", **counts}
        for number in range(10 if sampled else ITEMS):
            item = f"{task}_{number:03d}"
            changed = (batch > 1 and number < truth.changes_in_batch * ITEMS) or (
                repetition > 1 and number < truth.changes_when_repeated * ITEMS
            )
            text = f"answer {number}" + (f" {batch}/{repetition}" if changed else "")
            lost = number < truth.lost
            yield {
                **{"kind": "answer", "cell": index, "task": task, "item": item},
                **{"text": None if lost else text, "finish_reason": None if lost else "stop"},
                **{"status": "timeout" if lost else "ok", "error": None},
                **{
                    "prompt_tokens": truth.prompt_tokens,
                    "completion_tokens": 5,
                    "cached_tokens": 0,
                },
                **{"sent_s": 1.0, "seconds": 0.2, "under_way": batch},
            }
            for metric in metrics:
                value = quality(task, number, metric, truth.wrong)
                if metric not in ("contains_reference", "accuracy"):
                    noise = rng.normal(0, truth.noise) if sampled else 0.0
                    value += truth.shift + truth.scatter * own.normal() + noise
                if metric == BERT and truth.no_encoder:
                    said = {"status": "not testable here", "reason": truth.no_encoder}
                    yield score(index, task, item, metric, None, **said)
                else:
                    yield score(index, task, item, metric, None if lost else value)


def chosen(truth: Truth, index: int, cell: Cell, log_probs: bool, items: int = ITEMS):
    """Scores of a benchmark; letters name no choice in every fifth answer."""
    name = str(cell.levels["benchmark"])
    for number in range(items):
        item = f"{name}_{number:03d}"
        right = quality(name, number, "accuracy", truth.wrong)
        subject = {"cluster": f"subject {number % 10}" if name == "mmlu" else None}
        if log_probs:
            yield score(index, name, item, "accuracy", right, **subject)
            value = -1.5 - number / 100 - (0.25 if number < truth.cut_otherwise else 0)
            picked = number % 2 if right else 2  # the third choice is always wrong
            picked = picked if truth.place is None else truth.place
            yield {
                **{"kind": "choice", "cell": index, "task": name, "item": item, **subject},
                **{"gold": number % 2, "picked": picked, "right_log_prob": value},
            }
            yield score(index, name, item, "right_log_prob", value, **subject)
        else:
            invalid = number % 5 == 0
            said = {"status": "invalid", "reason": "no letter"} if invalid else {}
            value = 0.0 if invalid else right
            yield score(index, name, item, "accuracy", value, **{**subject, **said})


def texts(truth: Truth, index: int):
    for number in range(ITEMS):
        tokens = 100 + number
        spread = 1 + 0.2 * np.sin(number)
        yield {
            **{"kind": "text", "cell": index, "task": "summarization", "item": f"s{number}"},
            **{"same_tokens": True, "reference_nll": 3.0 * tokens, "tokens": tokens},
            **{"nll": (3.0 + truth.worse) * tokens + 1e-6 * number, "ids_sha256": "0" * 64},
            **{"kl": truth.kl * tokens * spread, "same_top": tokens - (number % 2)},
        }


def streamed(truth: Truth, index: int, rng: np.random.Generator):
    """A closed loop of one agent whose tokens come at the SUT's rate."""
    pace = 1 / (truth.rate * float(np.exp(rng.normal(0, 0.02))))
    for number in range(4):
        start = number * 16 * pace
        stamps = [round((part + 1) * pace * 1e6) for part in range(16)]
        end = start + 16 * pace
        yield {
            **{"kind": "request", "cell": index, "agent": 0, "server": 0, "sequence": number},
            **{"sent_s": start, "first_token_s": start + pace, "last_token_s": end},
            **{"done_s": end - 1e-6, "scheduled_s": None, "status": "ok", "error": None},
            **{"prompt_tokens": 32, "completion_tokens": 16, "cached_tokens": 0},
            **{"output_tokens_asked": 16, "finish_reason": "length", "tokens_agree": True},
            **{"server_queue_s": None, "server_prefill_s": pace, "server_decode_s": 15 * pace},
            "token_us": stamps,
        }


def session(truth: Truth, cells: list[Cell], block: int, items: int = ITEMS) -> list[dict]:
    """The records of one block; benchmarks have so many `items`."""
    rng = np.random.default_rng(block)
    lines: list[dict] = []
    for index, cell in enumerate(cells):
        window: dict = {}
        if truth.not_testable and cell.phase in ("letters", "choices"):
            lines.append(cell_line(index, cell, not_testable=truth.not_testable))
            continue
        if cell.phase in ("answers", "sampled"):
            lines += answered(truth, index, cell)
        elif cell.phase in ("letters", "choices"):
            lines += chosen(truth, index, cell, cell.phase == "choices", items)
        elif cell.phase == "texts":
            lines += texts(truth, index)
        else:
            lines += streamed(truth, index, rng)
            window = {"window_start_s": 0.0, "window_end_s": 64 / truth.rate}
        if truth.broken_alone and cell.phase == "answers" and cell.levels["batch"] == 1:
            window = {"valid": False, "reasons": [truth.broken_alone]}
        lines.append(cell_line(index, cell, **window))
    return lines
