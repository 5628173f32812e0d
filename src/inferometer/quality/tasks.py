"""The generation tasks: what is asked of the model for an item, and how its answer is scored."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferometer.errors import UserError
from inferometer.quality.items import (
    ClassificationItem,
    CodeItem,
    CreativeItem,
    Item,
    ItemSet,
    QaItem,
    SummarizationItem,
    load_items,
)

TEXT_METRICS = ("rouge_l", "bleu", "bertscore", "coherence")
FORM_METRICS = ("length_words", "repetition")


@dataclass(frozen=True)
class GenerationTask:
    """One task.

    Attributes
    ----------
    name
        Of the task, and of its file of items.
    kind
        What its items are.
    prompt
        Item -> the user's message; `chat.ChatTemplate` makes the prompt of it.
    max_output_tokens
        Where a generation is cut off; a good answer is well below it.
    metrics
        Which of the project's metrics say something about the task.
    """

    name: str
    kind: type[Item]
    prompt: Callable[[Any], str]
    max_output_tokens: int
    metrics: tuple[str, ...]

    def load(self, folder: Path) -> ItemSet[Any]:
        """Its items, from `<folder>/<name>.jsonl`; errors as in `load_items`."""
        return load_items(folder / f"{self.name}.jsonl", self.kind)


def _summarization(item: SummarizationItem) -> str:
    return f"Summarize the following text in one sentence.\n\n{item.text}"


def _qa(item: QaItem) -> str:
    return (
        "Answer the question with a few words from the text, without a sentence.\n\n"
        f"Text: {item.context}\n\nQuestion: {item.question}"
    )


def _code(item: CodeItem) -> str:
    return (
        "Complete this Python function. Answer with the whole function in one block of code.\n\n"
        f"```python\n{item.signature}```"
    )


def _creative(item: CreativeItem) -> str:
    return item.prompt


def _classification(item: ClassificationItem) -> str:
    return (
        f"Which {item.question} has this text? Answer with exactly one of these labels and nothing "
        f"else: {', '.join(item.labels)}.\n\nText: {item.text}"
    )


TASKS = {
    task.name: task
    for task in (
        GenerationTask(
            "summarization", SummarizationItem, _summarization, 96, TEXT_METRICS + FORM_METRICS
        ),
        GenerationTask(
            *("qa", QaItem, _qa, 32),
            ("exact_match", "contains_reference", "token_f1", "length_words"),
        ),
        GenerationTask("code", CodeItem, _code, 384, ("checks_passed", "length_words")),
        GenerationTask("creative", CreativeItem, _creative, 160, TEXT_METRICS + FORM_METRICS),
        GenerationTask("classification", ClassificationItem, _classification, 16, ("accuracy",)),
    )
}


def generation_task(name: str) -> GenerationTask:
    """One task; `UserError` lists the known names."""
    if name not in TASKS:
        raise UserError(f"task {name!r} is not known; there are: {', '.join(TASKS)}")
    return TASKS[name]
