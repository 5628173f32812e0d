"""Prompts of an exact length in tokens, each unlike every other, so that no cache can help."""

import random
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from typing import Self

from inferometer.errors import NotTestableHere, UserError
from inferometer.load.client import StreamingClient

FEWEST_OPENINGS = 16
"""With fewer single-token words than this, all token ids are used as words of one token."""


class PromptSource:
    """Seeded prompts for one server, made of the tokens of a list of plain words.

    A prompt depends on the seed, its index and its length alone. The first two tokens spell the
    index, so that prompts of different indices share at most one leading token until all pairs
    of openings are used, and two after that.

    Attributes
    ----------
    exact : bool
        Whether prompts are token ids of the asked length. Where the stack cannot tokenize they
        are texts of that many words, and only the server knows their length.
    """

    def __init__(self, seed: str, words: Sequence[Sequence[int]], texts: Sequence[str]) -> None:
        self.exact = bool(words)
        self._seed = seed
        self._words = words
        self._texts = texts
        self._singles = [word[0] for word in words if len(word) == 1]
        openings: list[int] = self._singles if self.exact else list(range(len(texts)))
        self._openings = random.Random(f"{seed}/openings").sample(openings, len(openings))

    @classmethod
    async def build(cls, client: StreamingClient, seed: str) -> Self:
        """Tokenize the word list with the server's own tokenizer, in one call."""
        texts = plain_words()
        text = "".join(f" {word}\n" for word in texts)
        try:
            ids = await client.dialect.tokenize(client.http, client.base_url, text)
        except NotTestableHere:
            return cls(seed, [], texts)
        return cls(seed, split_words(ids, len(texts), client.base_url), texts)

    def prompt(self, length: int, index: int) -> list[int] | str:
        """The prompt of this index: `length` token ids, or `length` words where not exact."""
        if length < 1 or index < 0:
            raise ValueError(f"prompt: length {length} and index {index} are not possible")
        count = len(self._openings)
        # the pair is another one for each index below count squared, its first for each below count
        opening = [self._openings[(index + turn) % count] for turn in (0, index // count)][:length]
        rng = random.Random(f"{self._seed}/{index}/{length}")
        if not self.exact:
            body = rng.choices(self._texts, k=length - len(opening))
            return " ".join([*(self._texts[word] for word in opening), *body])
        tokens = opening
        for word in rng.choices(self._words, k=length - len(opening)):
            if len(tokens) + len(word) > length:
                break
            tokens.extend(word)
        return tokens + rng.choices(self._singles, k=length - len(tokens))


def plain_words() -> list[str]:
    """The word list that ships with the package, each word once."""
    text = resources.files("inferometer.load").joinpath("words.txt").read_text(encoding="utf-8")
    return list(dict.fromkeys(text.split()))


def split_words(ids: Sequence[int], count: int, where: str) -> list[tuple[int, ...]]:
    """Cut the token ids of `count` words, each followed by a line break, into words.

    Tokenizers that drop line breaks, or join them with letters, leave nothing to cut at; then
    each id counts as a word of its own, and only the lengths in tokens matter.
    """
    line_end, times = Counter(ids).most_common(1)[0] if ids else (0, 0)
    words: list[tuple[int, ...]] = []
    if times == count:
        start = 0
        for position, token in enumerate(ids):
            if token == line_end:
                words.append(tuple(ids[start:position]))
                start = position + 1
    if sum(len(word) == 1 for word in words) < FEWEST_OPENINGS:
        words = [(token,) for token in dict.fromkeys(ids)]
    if len(words) < FEWEST_OPENINGS:
        raise UserError(
            f"{where}: its tokenizer gave {len(words)} different tokens for {count} words; "
            "check that the right model is served"
        )
    return [word for word in words if word]
