"""How templates write code, settings, data and table cells in Markdown."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from pydantic import BaseModel

_BAR = re.compile(r"(?<!\\)\|")
_LINK = re.compile(r"\]\([^)]*\)")


def code(text: object) -> str:
    """Inline code, safe inside a table."""
    words = _BAR.sub(r"\\|", str(text))
    fence = "``" if "`" in words else "`"
    pad = " " if "`" in words else ""
    return f"{fence}{pad}{words}{pad}{fence}"


def settings(values: Mapping[str, Any]) -> str:
    """`` `slots=8`, `context=4096` ``, or a dash when there are none."""
    return ", ".join(code(f"{key}={value}") for key, value in values.items()) or "–"


def in_cell(text: str) -> str:
    """Text that does not end its table cell early."""
    return _BAR.sub(r"\\|", text.replace("\n", " "))


def as_json(data: object) -> str:
    """Compact JSON with sorted keys."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False)


def as_yaml(model: BaseModel) -> str:
    """A model as YAML, in the order of its declaration."""
    return yaml.safe_dump(
        model.model_dump(mode="json", exclude_defaults=True),
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


def plain(markdown: str) -> str:
    """Markdown without links and emphasis, for the alternative text of an image."""
    return _LINK.sub("", markdown).translate(str.maketrans("", "", "[]*`\n"))


ALL: dict[str, Callable[..., str]] = {
    "code": code,
    "settings": settings,
    "in_cell": in_cell,
    "json": as_json,
    "yaml": as_yaml,
}
