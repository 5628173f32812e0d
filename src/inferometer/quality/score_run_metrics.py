"""Which scores an answer needs, what each depends on, and those that need no process of their own.

A score is identified by its item, the answer's text, its metric and the version of that metric: the
code, the limits, the pinned environment and the encoder that decide its value.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inferometer import digests, environments
from inferometer.errors import UserError
from inferometer.quality import encoders, parsing, sandbox, scoring
from inferometer.quality.items import Item
from inferometer.quality.process import HOSTS
from inferometer.quality.sandbox import Limits
from inferometer.quality.scoring import Score
from inferometer.quality.text_metrics import ENVIRONMENT, metric_name

PACKAGE = HOSTS.parents[1]
TEXT = ("rouge_l", "bleu", "bertscore", "coherence")
HERE: dict[str, Callable[[Any, str], Score]] = {
    "exact_match": lambda item, text: scoring.exact_match(text, item.references),
    "contains_reference": lambda item, text: scoring.contains_reference(text, item.references),
    "token_f1": lambda item, text: scoring.token_f1(text, item.references),
    "length_words": lambda item, text: scoring.length_words(text),
    "repetition": lambda item, text: scoring.repetition(text),
    "accuracy": lambda item, text: parsing.accuracy(
        parsing.parse_label(text, item.labels), item.answer
    ),
}
"""Metrics that are computed at once: item and text -> score."""


@dataclass(frozen=True)
class Metrics:
    """The metrics as one run computes them.

    Attributes
    ----------
    names
        Full name of each metric, its encoder in it.
    versions
        What its values depend on besides item and answer, as a digest.
    """

    names: dict[str, str]
    versions: dict[str, str]

    def key(self, task: str, item: Item, text: str, metric: str) -> str:
        """What identifies a score: SHA-256 of task, item, answer, metric and version."""
        content = item.model_dump(mode="json")
        return digests.of_data([task, content, text, self.names[metric], self.versions[metric]])


def metrics(root: Path, asked: dict[str, str | None], limits: Limits) -> Metrics:
    """All metrics of a run; `asked` has the encoders of `bertscore` and `coherence`, or None.

    Raises `UserError` for an encoder that is not known.
    """
    names = {name: name for name in (*HERE, "rouge_l", "bleu", sandbox.METRIC)}
    names["repetition"] = f"repetition_{scoring.NGRAM}"
    here = _code(Path(parsing.__file__), Path(scoring.__file__))
    versions = dict.fromkeys(HERE, here)
    text = [environments.lock_digest(root, ENVIRONMENT), _code(HOSTS / "quality_text.py")]
    versions |= {name: digests.of_data(text) for name in ("rouge_l", "bleu")}
    for metric, encoder in asked.items():
        if encoder is None:
            continue
        if encoder not in encoders.catalog():
            known = ", ".join(encoders.catalog())
            raise UserError(f"encoder {encoder!r} is not known; there are: {known}")
        entry = encoders.catalog()[encoder]
        names[metric] = metric_name(metric, encoder)
        versions[metric] = digests.of_data([*text, entry.sha256 or entry.repository])
    sandboxed = [_code(Path(sandbox.__file__), sandbox.HOST), asdict(limits)]
    versions[sandbox.METRIC] = digests.of_data([*sandboxed, list(sys.version_info[:3])])
    return Metrics(names, versions)


def _code(*files: Path) -> str:
    return digests.of_code(*files, search=PACKAGE)
