import asyncio
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.errors import NotTestableHere, UserError
from inferometer.load import prompts as prompts_module
from inferometer.load.prompts import PromptSource, plain_words, split_words

LINE_END = 7
WORDS = plain_words()


def words_of_a_tokenizer(singles: int, doubles: int) -> list[tuple[int, ...]]:
    ones = [(100 + number,) for number in range(singles)]
    return ones + [(1000 + number, 2000 + number, 3000) for number in range(doubles)]


def shared_opening(a, b) -> int:
    run = 0
    while run < min(len(a), len(b)) and a[run] == b[run]:
        run += 1
    return run


@given(
    singles=st.integers(16, 40),
    doubles=st.integers(0, 40),
    length=st.integers(1, 40),
    index=st.integers(0, 10**6),
    seed=st.text(max_size=5),
)
def test_length_is_exact_and_prompt_repeats_by_seed(singles, doubles, length, index, seed):
    words = words_of_a_tokenizer(singles, doubles)
    prompt = PromptSource(seed, words, WORDS).prompt(length, index)
    assert len(prompt) == length
    assert prompt == PromptSource(seed, words, WORDS).prompt(length, index)


@given(
    indices=st.sets(st.integers(0, 16**2 - 1), min_size=2, max_size=12),
    lengths=st.lists(st.integers(2, 12), min_size=12, max_size=12),
)
def test_different_indices_share_at_most_one_leading_token(indices, lengths):
    source = PromptSource("x", words_of_a_tokenizer(16, 5), WORDS)
    made = [source.prompt(length, index) for index, length in zip(indices, lengths, strict=False)]
    for a, b in combinations(made, 2):
        assert shared_opening(a, b) <= 1  # so none is a prefix of another, nor equal to it


def test_many_prompts_are_unique_and_use_the_words():
    source = PromptSource("x", words_of_a_tokenizer(300, 100), WORDS)
    made = {tuple(source.prompt(32, index)) for index in range(5000)}
    assert len(made) == 5000
    assert any(3000 in prompt for prompt in made)
    assert len({prompt[0] for prompt in made}) == 300


def test_seeds_give_different_prompts():
    words = words_of_a_tokenizer(100, 0)
    assert PromptSource("a", words, WORDS).prompt(32, 1) != PromptSource("b", words, WORDS).prompt(
        32, 1
    )


@pytest.mark.parametrize(("length", "index"), [(0, 0), (-1, 0), (4, -1)])
def test_impossible_prompts(length, index):
    with pytest.raises(ValueError, match="not possible"):
        PromptSource("x", words_of_a_tokenizer(20, 0), WORDS).prompt(length, index)


def test_words_are_cut_at_line_ends():
    words = words_of_a_tokenizer(20, 5)
    ids = [token for word in words for token in (*word, LINE_END)]
    assert split_words(ids, len(words), "url") == words


def test_tokenizer_without_line_ends_gives_single_ids():
    ids = [number % 50 for number in range(60)]
    assert split_words(ids, 60, "url") == [(number,) for number in range(50)]


def test_tokenizer_that_splits_every_word_gives_single_ids():
    words = [(1000 + number, 2000 + number) for number in range(20)]
    ids = [token for word in words for token in (*word, LINE_END)]
    assert (2000,) in split_words(ids, 20, "url")


@pytest.mark.parametrize("ids", [[], [3] * 400])
def test_tokenizer_that_makes_no_sense(ids):
    with pytest.raises(UserError, match="url: its tokenizer gave"):
        split_words(ids, 400, "url")


def test_prompts_reach_the_server_at_their_length(on_server):
    async def test(bench):
        assert bench.prompts.exact
        return bench.prompts.prompt(48, 0), bench.prompts.prompt(48, 1)

    first, second = on_server(test)
    assert len(first) == len(second) == 48
    assert shared_opening(first, second) == 0


def test_stack_that_cannot_tokenize_gets_texts():
    class Mute:
        async def tokenize(self, http, base_url, text):
            raise NotTestableHere("no tokenizer")

    class Client:
        dialect = Mute()
        http = None
        base_url = "url"

    source = asyncio.run(PromptSource.build(Client(), "seed"))
    assert not source.exact
    texts = [source.prompt(12, index) for index in range(1000)]
    assert all(len(text.split()) == 12 for text in texts)
    assert len(set(texts)) == 1000
    assert source.prompt(1, 0) in WORDS


def test_word_list():
    assert len(WORDS) > 350
    assert all(word.isalpha() and word.islower() for word in WORDS)
    assert len(WORDS) > prompts_module.FEWEST_OPENINGS
