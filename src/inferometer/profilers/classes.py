"""Kernel classes: which family of work a name in a trace belongs to, by rules in a data file."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import numpy as np
import yaml

UNKNOWN = "unknown"
RULED = ("kernel", "operator", "runtime_call")
"""Kinds that have rules; every other kind is a class of its own."""

Rules = tuple[tuple[str, re.Pattern[str]], ...]


@cache
def rules() -> Mapping[str, Rules]:
    """The rules of `classes.yaml`: per kind, classes with their expressions, in order."""
    text = (files(__package__) / "classes.yaml").read_text()
    return {
        kind: tuple((name, re.compile(expression, re.IGNORECASE)) for name, expression in lines)
        for kind, lines in yaml.safe_load(text).items()
    }


def classify(kind: str, name: str) -> str:
    """Class of one name: that of the first rule found in it, "unknown" where none is.

    Kinds without rules (`memcpy`, `range`, ...) are their own class.
    """
    if kind not in RULED:
        return kind
    return next((label for label, rule in rules()[kind] if rule.search(name)), UNKNOWN)


def class_codes(
    kind: np.ndarray, kinds: Sequence[str], name: np.ndarray, names: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """Codes and labels of the classes of many rows; each pair of kind and name is judged once.

    `kind` and `name` are codes into `kinds` and `names`.
    """
    pairs, row = np.unique(kind.astype(np.int64) * len(names) + name, return_inverse=True)
    found = [classify(kinds[pair // len(names)], names[pair % len(names)]) for pair in pairs]
    labels = sorted(set(found))
    index = {label: code for code, label in enumerate(labels)}
    return np.array([index[label] for label in found], dtype=np.int32)[row], labels
