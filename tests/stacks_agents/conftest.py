"""The real environment with torch, and a tiny model with random weights made in it."""

import subprocess
from pathlib import Path

import pytest
from checkouts import REPOSITORY

from inferometer import environments

TINY = """
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(7)
LlamaForCausalLM(LlamaConfig(
    vocab_size=512, hidden_size=96, intermediate_size=128, num_hidden_layers=3,
    num_attention_heads=6, num_key_value_heads=2, head_dim=16, max_position_embeddings=4096,
    tie_word_embeddings=False, eos_token_id=3,
)).save_pretrained(sys.argv[1])
"""


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of `.envs/transformers`, made once on this machine."""
    return environments.ensure(REPOSITORY, "transformers").python


@pytest.fixture(scope="session")
def tiny(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 3 layers."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    subprocess.run([str(python), "-c", TINY, str(folder)], check=True, capture_output=True)
    return folder
