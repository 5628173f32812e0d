"""Levels made by the real quantizer from small GGUF files, and what is said of them."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from checkouts import REPOSITORY

from inferometer import digests, environments
from inferometer.artifacts import catalog, fetch, folder, quantize
from inferometer.artifacts.recipe import QUANTIZER
from inferometer.errors import UserError

WRITE = """
import sys, gguf, numpy
path, width = sys.argv[1], int(sys.argv[2])
writer = gguf.GGUFWriter(path, "llama")
writer.add_context_length(64)
writer.add_embedding_length(width)
writer.add_block_count(1)
writer.add_feed_forward_length(512)
writer.add_head_count(4)
writer.add_head_count_kv(4)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_vocab_size(64)
writer.add_file_type(1)
draw = numpy.random.default_rng(5)
shapes = {"attn_q": (width, width), "attn_k": (width, width), "attn_v": (width, width),
          "attn_output": (width, width), "ffn_gate": (512, width), "ffn_up": (512, width),
          "ffn_down": (width, 512)}
tensors = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
for name, shape in {"token_embd.weight": (64, width), **tensors}.items():
    writer.add_tensor(name, draw.normal(size=shape).astype(numpy.float16))
for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
    writer.add_tensor(name + ".weight", numpy.ones(width, dtype=numpy.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
"""
CHANGED = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up")
"""Rows of the model's width; the embedding too, whose level llama.cpp chooses by width itself."""


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[int, Path]:
    """F16 models whose rows divide into 256 weights, and not."""
    python = environments.ensure(REPOSITORY, QUANTIZER).python
    place = tmp_path_factory.mktemp("gguf")
    for width in (256, 288):
        path = place / f"{width}.gguf"
        subprocess.run([str(python), "-c", WRITE, str(path), str(width)], check=True)
    return {width: place / f"{width}.gguf" for width in (256, 288)}


def levels(path: Path, *names: str) -> catalog.Catalog:
    """The file as artifact `floats`, and levels of it under their own names."""
    artifacts = {"floats": ("F16", catalog.LocalSource(kind="local", path=path))} | {
        name: (name, catalog.QuantizedSource(kind="quantized", original="floats", level=name))
        for name in names
    }
    return catalog.Catalog(
        schema_version=1,
        architectures={},
        artifacts={
            name: catalog.Artifact(
                title=name,
                architecture=None,
                quantization=label,
                licence="none needed",
                sha256=digests.of_file(path) if name == "floats" else None,
                source=source,
            )
            for name, (label, source) in artifacts.items()
        },
    )


def test_a_width_that_fits_gives_every_matrix_its_own_level(written, cache):
    known = levels(written[256], "Q6_K", "Q8_0")
    six = quantize.facts("Q6_K", known, REPOSITORY)
    assert not six.fallbacks
    assert list(six.weights_by_type) == ["Q6_K", "F32"]
    matrices = six.weights - 3 * 256
    # 256 weights of Q6_K: 128 + 64 bytes of quants, 16 of scales, 2 of the block's scale
    assert six.bits_per_weight == pytest.approx((matrices * 210 / 256 * 8 + 768 * 32) / six.weights)
    assert six.file_bytes > six.bits_per_weight * six.weights / 8
    floats = quantize.facts("floats", known, REPOSITORY)
    assert floats.weights == six.weights
    assert floats.weights_by_type["F16"] == matrices
    eight = quantize.facts("Q8_0", known, REPOSITORY)
    assert quantize.coinciding([floats, eight, six]) == []


def test_a_width_that_does_not_fit_names_the_fallbacks_and_the_levels_that_coincide(written, cache):
    known = levels(written[288], "Q3_K_S", "Q2_K", "Q4_K_M")
    found = {name: quantize.facts(name, known, REPOSITORY) for name in known.artifacts}
    (pair,) = [each for each in found["Q3_K_S"].fallbacks if each[1] == "Q4_0"]
    assert pair == ("Q3_K", "Q4_0")
    assert "blk.0.attn_q.weight" in found["Q3_K_S"].fallbacks[pair]
    assert ("Q2_K", "Q4_0") in found["Q2_K"].fallbacks
    for each in found.values():
        fallen = {name for names in each.fallbacks.values() for name in names}
        expected = () if each.artifact == "floats" else CHANGED
        assert fallen == {f"blk.0.{name}.weight" for name in expected}
    assert quantize.coinciding(found.values()) == [("Q3_K_S", "Q2_K")]


def test_a_level_made_twice_has_the_same_bytes_and_is_recorded(written, cache, monkeypatch):
    known = levels(written[288], "Q5_K_M")
    first = fetch.fetch("Q5_K_M", known, REPOSITORY)
    assert first.path.name == "model.gguf"
    monkeypatch.setenv(fetch.CACHE_VARIABLE, str(cache) + "-2")
    again = fetch.fetch("Q5_K_M", known, REPOSITORY)
    assert again.path != first.path
    assert again.sha256 == first.sha256
    assert digests.of_file(again.path) == digests.of_file(first.path)


def test_what_is_already_quantized_is_refused(written, cache):
    made = fetch.fetch("Q4_K_M", levels(written[256], "Q4_K_M"), REPOSITORY)
    with pytest.raises(UserError, match=r"artifact Q2_K: could not be made.*requantizing"):
        fetch.fetch("Q2_K", levels(made.path, "Q2_K"), REPOSITORY)


def test_what_is_no_gguf_is_refused(written, cache, tmp_path):
    text = tmp_path / "text.gguf"
    text.write_text("no model")
    with pytest.raises(UserError, match=r"floats: .*text\.gguf cannot be read as GGUF.*magic"):
        quantize.facts("floats", levels(text), REPOSITORY)


def test_a_folder_is_refused(written, cache, tmp_path):
    known = levels(written[256])
    change = {
        "source": catalog.LocalSource(kind="local", path=tmp_path),
        "sha256": folder.contents(tmp_path).sha256,
    }
    entry = known.artifact("floats").model_copy(update=change)
    known = known.model_copy(update={"artifacts": {"floats": entry}})
    with pytest.raises(UserError, match="is a folder; choose an artifact in GGUF"):
        quantize.facts("floats", known, REPOSITORY)


def test_the_facts_count_bits_of_tensors_by_type_and_group_equal_types():
    first = quantize.QuantizationFacts(
        "a",
        "Q8_0",
        "0",
        400,
        (quantize.Tensor("x", "Q8_0", 32, 34), quantize.Tensor("y", "F32", 8, 32)),
    )
    assert first.bits_per_weight == 8 * 66 / 40
    assert first.weights_by_type == {"Q8_0": 32, "F32": 8}
    second = replace(first, artifact="b", tensors=first.tensors[::-1])
    other = replace(first, artifact="c", tensors=first.tensors[:1])
    assert quantize.coinciding([first, other, second]) == [("a", "b")]
