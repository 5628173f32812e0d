"""The benchmark's damage to a GGUF file: only the named matrices change, and it can be read."""

import json
import subprocess
from pathlib import Path

import pytest
from checkouts import REPOSITORY

from inferometer import environments
from inferometer.artifacts.recipe import QUANTIZER

WRITE = """
import sys, gguf, numpy
path, width = sys.argv[1], numpy.dtype(sys.argv[2])
writer = gguf.GGUFWriter(path, "llama")
writer.add_block_count(2)
draw = numpy.random.default_rng(5)
for block in range(2):
    for name in ("ffn_down.weight", "ffn_up.weight", "attn_q.weight", "ffn_down_extra.weight"):
        tensor = draw.normal(0, 1 + block, size=(64, 96)).astype(width)
        writer.add_tensor(f"blk.{block}.{name}", tensor)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
"""
DAMAGE = """
import json, sys, gguf, numpy
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import damage
source, target = map(Path, sys.argv[2:4])
changed = damage.damage(source, target, 0.5)
found = {}
before, after = ({t.name: t for t in gguf.GGUFReader(p).tensors} for p in (source, target))
assert list(before) == list(after)
for name in before:
    a, b = (each[name].data.astype(numpy.float32) for each in (before, after))
    found[name] = float((b - a).std() / a.std())
print(json.dumps({"changed": changed, "noise": found}))
"""


def written(folder: Path, width: str) -> Path:
    path = folder / f"{width}.gguf"
    command = [str(python()), "-c", WRITE, str(path), width]
    subprocess.run(command, check=True)
    return path


def python() -> Path:
    return environments.ensure(REPOSITORY, QUANTIZER).python


def damaged(source: Path) -> subprocess.CompletedProcess[str]:
    target = source.with_name("damaged.gguf")
    place = REPOSITORY / "benchmarks" / "quality"
    command = [str(python()), "-c", DAMAGE, str(place), str(source), str(target)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("width", ["float16", "float32"])
def test_only_the_named_matrices_change_and_by_their_own_spread(tmp_path: Path, width: str) -> None:
    source = written(tmp_path, width)
    before = source.read_bytes()
    done = damaged(source)
    assert not done.returncode, done.stderr
    seen = json.loads(done.stdout)
    assert seen["changed"] == 2
    for name, noise in seen["noise"].items():
        wanted = 0.5 if name.endswith("ffn_down.weight") else 0.0
        assert noise == pytest.approx(wanted, rel=0.05), name
    assert source.read_bytes() == before
    assert source.with_name("damaged.gguf").stat().st_size == len(before)


def test_matrices_that_are_no_floats_are_refused(tmp_path: Path) -> None:
    done = damaged(written(tmp_path, "int8"))
    assert done.returncode
    assert "blk.0.ffn_down.weight is I8, no plain floats" in done.stderr
