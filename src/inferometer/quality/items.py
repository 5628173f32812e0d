"""Evaluation items: JSON lines, checked one by one, identified by a digest."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from inferometer import digests
from inferometer.errors import UserError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    return text


Text = Annotated[str, AfterValidator(_not_blank)]
References = Annotated[tuple[Text, ...], Field(min_length=1)]


class Item(BaseModel):
    """What every item has: an id that is unique in its file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: Text


class SummarizationItem(Item):
    """A text and summaries that are good."""

    text: Text
    references: References


class QaItem(Item):
    """A question that its context answers, and the answers that are right."""

    context: Text
    question: Text
    references: References


class CreativeItem(Item):
    """A request for a short piece of writing, and pieces that answer it well."""

    prompt: Text
    references: References


class ClassificationItem(Item):
    """A text, what is asked of it in a word or two, the labels, and the right one."""

    question: Text
    text: Text
    labels: Annotated[tuple[Text, ...], Field(min_length=2)]
    answer: Text

    @model_validator(mode="after")
    def _answer_is_a_label(self) -> Self:
        _check_labels(self.labels, self.answer)
        return self


class CodeItem(Item):
    """A function to write: its signature with docstring, what checks it, a solution that is right.

    `checks` are statements that raise where the function is wrong.
    """

    signature: Text
    entry_point: Text
    checks: Text
    solution: Text

    @model_validator(mode="after")
    def _is_python(self) -> Self:
        if not any(isinstance(node, ast.Assert) for node in ast.walk(_parsed("checks", self))):
            raise ValueError("checks: there is no assert in it")
        functions = [
            node.name
            for node in _parsed("solution", self).body
            if isinstance(node, ast.FunctionDef)
        ]
        if self.entry_point not in functions:
            raise ValueError(f"solution: defines no function {self.entry_point}")
        if f"def {self.entry_point}(" not in self.signature:
            raise ValueError(f"signature: is not of {self.entry_point}")
        return self


class ChoiceItem(Item):
    """A question of MMLU or ARC: its choices, their labels (A, B, ... unless given), the answer."""

    question: Text
    choices: Annotated[tuple[Text, ...], Field(min_length=2, max_length=len(LETTERS))]
    answer: Text
    labels: tuple[Text, ...] = ()
    subject: Text | None = None

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        if self.labels and len(self.labels) != len(self.choices):
            raise ValueError(f"labels: {len(self.labels)} for {len(self.choices)} choices")
        _check_labels(self.names, self.answer)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The labels of the choices."""
        return self.labels or tuple(LETTERS[: len(self.choices)])

    @property
    def gold(self) -> int:
        """Index of the right choice."""
        return self.names.index(self.answer)


def _check_labels(labels: tuple[str, ...], answer: str) -> None:
    if len(set(labels)) != len(labels):
        raise ValueError(f"labels: {', '.join(labels)}: one is there twice")
    if answer not in labels:
        raise ValueError(f"answer: {answer!r} is none of {', '.join(labels)}")


def _parsed(key: str, item: CodeItem) -> ast.Module:
    try:
        return ast.parse(getattr(item, key))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{key}: not Python: {error}") from None


AnyItem = TypeVar("AnyItem", bound=Item)


@dataclass(frozen=True)
class ItemFault:
    """A line that is no sound item, and why; `id` is None where it has none."""

    file: str
    line: int
    id: str | None
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}{f' ({self.id})' if self.id else ''}: {self.reason}"


@dataclass(frozen=True)
class ItemSet(Generic[AnyItem]):
    """The sound items of a file in its order, and its faulty lines."""

    path: Path
    items: tuple[AnyItem, ...]
    faults: tuple[ItemFault, ...]

    @property
    def sha256(self) -> str:
        """Digest of the sound items, whatever their order; it identifies the set."""
        content = [item.model_dump(mode="json") for item in self.items]
        return digests.of_data(sorted(content, key=lambda item: item["id"]))

    def sound(self) -> Self:
        """This set; raises `UserError` that lists every faulty line, if there is one."""
        if self.faults:
            raise UserError("\n".join(str(fault) for fault in self.faults))
        return self


def load_items(path: Path, kind: type[AnyItem]) -> ItemSet[AnyItem]:
    """Read the items of one file.

    A line that is no sound item (not JSON, no answer, a label outside the choices, an id that is
    there already) is a fault of the set and the others are kept. Raises `UserError` when the file
    cannot be read, or has no sound item at all.
    """
    items: dict[str, AnyItem] = {}
    faults: list[ItemFault] = []
    lines_of: dict[str, int] = {}
    for line, content in _lines(path):
        try:
            item = kind.model_validate_json(content)
        except ValidationError as error:
            faults.append(ItemFault(path.name, line, _id_of(content), _reason(error)))
            continue
        if item.id in items:
            reason = f"id: {item.id} is there already, in line {lines_of[item.id]}"
            faults.append(ItemFault(path.name, line, item.id, reason))
            continue
        items[item.id], lines_of[item.id] = item, line
    if not items:
        why = f"\n{faults[0]}" if faults else "; it is empty"
        raise UserError(f"{path}: no sound item{why}")
    return ItemSet(path, tuple(items.values()), tuple(faults))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: missing; items are there, one JSON object a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


class _Named(BaseModel):
    id: str


def _id_of(content: str) -> str | None:
    try:
        return _Named.model_validate_json(content).id
    except ValidationError:
        return None


def _reason(error: ValidationError) -> str:
    said = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        said.append(f"{key}: {message}" if key else message)
    return "; ".join(said)
