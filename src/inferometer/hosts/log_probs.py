"""Log-probabilities of continuations and of whole texts, whatever computes the logits.

Numpy and the standard library alone; shared by the hosts of several stacks.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

Encode = Callable[[str], list[int]]
Rows = Callable[[list[int], int], Any]


class LogProbs:
    """A model that is asked what it holds likely; the last input's result is kept for the next.

    The letters of one question follow the same input, which then is run once.

    Parameters
    ----------
    encode
        Text -> token ids, with the special tokens that the model always begins with.
    logits
        (ids, last) -> the logits after each of the last `last` of the ids: [last, vocabulary].
    longest
        The model's context in tokens; None where it has none.
    """

    def __init__(self, encode: Encode, logits: Rows, longest: int | None) -> None:
        self._encode, self._logits, self._longest = encode, logits, longest
        self._kept: tuple[list[int], int, Any] = ([], 0, None)

    def of_continuation(self, context: str, continuation: str) -> dict[str, Any]:
        """Sum over the continuation's tokens: those of the whole text beyond the context's.

        The tokens of a text are not always those of its parts joined: the whole is tokenized.
        """
        whole = self._encode(context + continuation)
        start = len(self._encode(context))
        wanted = whole[start:]
        if not wanted or not start:
            return {"value": None, "tokens": 0, "error": "context or continuation has no tokens"}
        if why := self._too_long(len(whole) - 1):
            return {"value": None, "tokens": len(wanted), "error": why}
        if self._kept[:2] != (whole[:-1], len(wanted)):
            rows = log_softmax(self._logits(whole[:-1], len(wanted)))
            self._kept = (whole[:-1], len(wanted), rows)
        rows = self._kept[2]
        return {"value": float(rows[range(len(wanted)), wanted].sum()), "tokens": len(wanted)}

    def of_text(self, text: str, write: str | None, against: str | None) -> dict[str, Any]:
        """Every token after the first, given those before it.

        Returns
        -------
        dict
            `tokens`; `nll`, the sum of their negative natural log-probabilities; `ids_sha256` of
            the token ids. With `against`, a file that another model's `write` made of the same
            text: `kl`, the sum over tokens of the Kullback-Leibler divergence from that model to
            this one in nats, and `same_top`, at how many tokens both hold the same one most likely.

        Raises
        ------
        ValueError
            Fewer than two tokens, more than the context, or another number of tokens or of entries
            of the vocabulary than in `against`.
        """
        ids = self._encode(text)
        if len(ids) < 2:
            raise ValueError(f"the text has {len(ids)} tokens; at least 2 are needed")
        if why := self._too_long(len(ids) - 1):
            raise ValueError(why)
        rows = log_softmax(self._logits(ids[:-1], len(ids) - 1))
        if write:
            np.save(write, rows)
        found = {
            "tokens": len(ids) - 1,
            "nll": -float(rows[range(len(ids) - 1), ids[1:]].sum()),
            "ids_sha256": hashlib.sha256(repr(ids).encode()).hexdigest(),
        }
        return found if against is None else found | compared(np.load(against), rows)

    def _too_long(self, tokens: int) -> str | None:
        if self._longest is None or tokens <= self._longest:
            return None
        return f"{tokens + 1} tokens are more than the model's context of {self._longest}"


def compared(reference: Any, rows: Any) -> dict[str, Any]:
    """`kl` and `same_top` of log-probabilities [tokens, vocabulary] of the same text."""
    if reference.shape != rows.shape:
        raise ValueError(
            f"the reference has {reference.shape} log-probabilities, this {rows.shape}"
        )
    kl = (np.exp(reference) * (reference - rows)).sum()
    return {"kl": float(kl), "same_top": int((reference.argmax(1) == rows.argmax(1)).sum())}


def log_softmax(logits: Any) -> Any:
    """Natural log-probabilities, row by row, in double precision."""
    logits = np.asarray(logits, dtype=np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
