"""A repository whose environment `transformers` is made, and models made in it."""

import os
from pathlib import Path

import pytest
from artifacts_tiny import tiny
from checkouts import REPOSITORY

from inferometer import environments
from inferometer.artifacts import fetch
from inferometer.artifacts.recipe import ENVIRONMENT


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository itself, its environment made where it is missing."""
    environments.ensure(REPOSITORY, ENVIRONMENT)
    return REPOSITORY


@pytest.fixture(scope="session")
def python(root: Path) -> Path:
    """The interpreter that has torch."""
    return environments.load(root, ENVIRONMENT).python


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(fetch.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def made_once(root: Path, tmp_path_factory: pytest.TempPathFactory) -> fetch.Fetched:
    """The tiny model in bfloat16, made once; not to be altered."""
    before = os.environ.get(fetch.CACHE_VARIABLE)
    os.environ[fetch.CACHE_VARIABLE] = str(tmp_path_factory.mktemp("made"))
    try:
        return fetch.fetch("tiny16", tiny(), root)
    finally:
        del os.environ[fetch.CACHE_VARIABLE]
        if before is not None:
            os.environ[fetch.CACHE_VARIABLE] = before
