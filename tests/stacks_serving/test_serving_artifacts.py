"""The same weights for every stack: the Hugging Face folder, the float GGUF, the OpenVINO IR."""

import subprocess

import pytest
from checkouts import REPOSITORY

from inferometer import environments
from inferometer.artifacts import catalog, fetch

# rows of Q and K are interleaved in a GGUF, and in two halves in Hugging Face's folders
FOLDER_AND_GGUF = """
import sys, gguf, numpy
from safetensors.numpy import load_file
folder, path = sys.argv[1:]
theirs = load_file(folder + "/model.safetensors")
reader = gguf.GGUFReader(path)
assert reader.get_field("general.file_type").contents() == 0
names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 30)
ours = {tensor.name: tensor for tensor in reader.tensors}
assert all(tensor.tensor_type == gguf.GGMLQuantizationType.F32 for tensor in ours.values())
compared = 0
for name, values in theirs.items():
    tensor = ours.pop(names.get_name(name, try_suffixes=(".weight",)))
    found = numpy.array(tensor.data)
    if name.endswith(("q_proj.weight", "k_proj.weight")):
        heads = 9 if "q_proj" in name else 3
        found = found.reshape(heads, -1, 2, found.shape[1]).swapaxes(1, 2).reshape(values.shape)
    assert numpy.array_equal(found, values), name
    compared += values.size
assert not ours, list(ours)
print(compared)
"""
GGUF_AND_IR = """
import sys, gguf, numpy, openvino
path, folder = sys.argv[1:]
model = openvino.Core().read_model(folder + "/openvino_model.xml")
floats = [n for n in model.get_ordered_ops() if n.get_type_name() == "Constant"
          and n.get_element_type().to_string() in ("f16", "bf16", "f32")]
assert all(node.get_element_type().to_string() == "f32" for node in floats)
sums = {}
for node in floats:
    data = node.data
    if data.size > 64:
        sums.setdefault(data.size, []).append(numpy.sort(data.ravel()))
compared = 0
for tensor in gguf.GGUFReader(path).tensors:
    values = numpy.sort(numpy.array(tensor.data).ravel())
    assert any(numpy.array_equal(values, each) for each in sums[values.size]), tensor.name
    compared += values.size
(frequencies,) = [node.data.ravel() for node in floats if node.data.size == 32]
exact = 100000.0 ** (-numpy.arange(0, 64, 2) / 64)
assert numpy.allclose(frequencies, exact, rtol=1e-6)
print(compared)
"""


def _path(name: str) -> str:
    return str(fetch.fetch(name, catalog.shipped(), REPOSITORY).path)


def _run(stack: str, program: str, *paths: str) -> int:
    python = environments.ensure(REPOSITORY, stack).python
    done = subprocess.run([str(python), "-c", program, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
def test_the_float_gguf_has_the_weights_of_the_folder():
    folder, gguf = _path("smollm2-135m-f32"), _path("smollm2-135m-f32-gguf")
    assert _run("transformers", FOLDER_AND_GGUF, folder, gguf) == 134515008


@pytest.mark.slow
def test_the_openvino_ir_has_the_weights_of_the_float_gguf_and_nothing_rounded():
    gguf, folder = _path("smollm2-135m-f32-gguf"), _path("smollm2-135m-f32-openvino")
    assert _run("openvino", GGUF_AND_IR, gguf, folder) == 134515008
