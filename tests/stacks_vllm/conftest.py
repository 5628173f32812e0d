"""The real environment of vLLM, and a small model with random weights made in it."""

import subprocess
from pathlib import Path

import pytest
import random_llama
from checkouts import REPOSITORY

from inferometer import environments

# Large enough to take a while for each token: where vLLM's HTTP server is slower than its engine,
# it sends tokens together, and then nothing is seen of streaming.
MODEL = {
    "vocab_size": 2000,
    "hidden_size": 512,
    "intermediate_size": 16384,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 2048,
}
TOKENIZER = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
words = [line.split()[0] for line in open(sys.argv[2]) if line.strip()]
vocabulary = {word: number for number, word in enumerate(["?", *dict.fromkeys(words)][:2000])}
tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(sys.argv[1])
"""
WORDS = REPOSITORY / "src" / "inferometer" / "load" / "words.txt"


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of `.envs/vllm`, made once on this machine."""
    return environments.ensure(REPOSITORY, "vllm").python


@pytest.fixture(scope="session")
def bare(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 3 layers without a tokenizer, as synthetic artifacts are."""
    return random_llama.save(python, tmp_path_factory.mktemp("bare") / "model", **MODEL)


@pytest.fixture(scope="session")
def worded(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a tokenizer that has a word a token."""
    folder = random_llama.save(python, tmp_path_factory.mktemp("worded") / "model", **MODEL)
    words = [str(python), "-c", TOKENIZER, str(folder), str(WORDS)]
    subprocess.run(words, check=True, capture_output=True)
    return folder
