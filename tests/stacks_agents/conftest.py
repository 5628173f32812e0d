"""The real environment with torch, and a tiny model with random weights made in it."""

from pathlib import Path

import pytest
import random_llama
from checkouts import REPOSITORY

from inferometer import environments


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of `.envs/transformers`, made once on this machine."""
    return environments.ensure(REPOSITORY, "transformers").python


@pytest.fixture(scope="session")
def tiny(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 3 layers."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    return random_llama.save_tiny(python, folder, max_position_embeddings=4096, eos_token_id=3)
