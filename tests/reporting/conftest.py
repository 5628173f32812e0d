import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> tiny.Tiny:
    """The tiny repository, measured once; tests alter copies."""
    return tiny.make(tmp_path_factory.mktemp("tiny") / "repo")


@pytest.fixture
def repo(original: tiny.Tiny, tmp_path: Path) -> tiny.Tiny:
    """A copy that a test may alter."""
    shutil.copytree(original.root, tmp_path / "repo")
    return tiny.Tiny(tmp_path / "repo")
