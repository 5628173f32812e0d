"""Make one artifact from a GGUF file: a GGUF of plain floats, or an OpenVINO IR of float32.

Runs inside the environment of the stack `openvino`: OpenVINO GenAI, the package `gguf` and the
standard library. The job is one JSON argument; each line on standard output says how much is done.
"""

import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy

SPOKEN = os.fdopen(os.dup(1), "w")
"""Where progress goes; whatever a library prints goes to standard error."""
FORMATS = {
    "float32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32, numpy.float32),
    "float16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16, numpy.float16),
}
FILE_TYPE = gguf.Keys.General.FILE_TYPE
ARCHITECTURE = gguf.Keys.General.ARCHITECTURE
LARGEST_SCALAR = 1
"""Constants of one value (0, 1, 2, the mask's -65504) are the graph's, not the model's."""


def say(**facts: object) -> None:
    """One line of progress for the process that started us."""
    print(json.dumps(facts), file=SPOKEN, flush=True)


def dequantized(reader: gguf.GGUFReader) -> Iterator[tuple[str, numpy.ndarray]]:
    """Name and float32 values of each tensor, outermost dimension first."""
    for tensor in reader.tensors:
        yield tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type)


def write_gguf(path: Path, reader: gguf.GGUFReader, dtype: str) -> None:
    """Copy a GGUF with its weight matrices as `dtype`; vectors stay float32, as llama.cpp has it.

    All metadata is copied but the file type, which is set right. One tensor is in memory at a time.
    """
    kind, file_type, numpy_type = FORMATS[dtype]
    writer = gguf.GGUFWriter(path, str(reader.get_field(ARCHITECTURE).contents()))
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == ARCHITECTURE:
            continue  # the writer's own
        value = int(file_type) if field.name == FILE_TYPE else field.contents()
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, field.types[0], inner)
    plain = gguf.GGMLQuantizationType.F32
    for tensor in reader.tensors:
        shape = tuple(reversed([int(size) for size in tensor.shape]))
        width = numpy.dtype(numpy_type if len(shape) > 1 else numpy.float32)
        writer.add_tensor_info(
            tensor.name,
            shape,
            width,
            int(tensor.n_elements) * width.itemsize,
            kind if len(shape) > 1 else plain,
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for done, (_, values) in enumerate(dequantized(reader), start=1):
        writer.write_tensor_data(values.astype(numpy_type) if values.ndim > 1 else values)
        say(done=done, of=len(reader.tensors))
    writer.close()


def to_gguf(folder: Path, gguf_file: Path, dtype: str) -> None:
    """A GGUF file of plain floats, under the name `model.gguf`."""
    write_gguf(folder / "model.gguf", gguf.GGUFReader(gguf_file), dtype)


def to_openvino(folder: Path, gguf_file: Path, dtype: str) -> None:
    """An OpenVINO IR whose weights are exactly those of the GGUF, in float32.

    OpenVINO reads GGUF matrices of float16 but not of float32, and saves every constant as
    float16, rotary frequencies among them. So it builds the graph from a float16 copy; then each
    float16 constant is replaced by the float32 tensor that it is the rounding of. One that is the
    rounding of none is an error: no weight is left rounded.
    """
    import openvino
    import openvino_genai

    reader = gguf.GGUFReader(gguf_file)
    rounded = folder / "rounded.gguf"
    write_gguf(rounded, reader, "float16")
    options = {"enable_save_ov_model": True}
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 1
    openvino_genai.Tokenizer(str(rounded), **options)
    openvino_genai.ContinuousBatchingPipeline(str(rounded), scheduler, "CPU", options)
    rounded.unlink()
    built = folder / "openvino_model.xml"
    model = openvino.Core().read_model(
        built.rename(folder / "rounded.xml"),
        (folder / "openvino_model.bin").rename(folder / "rounded.bin"),
    )
    exact = _by_rounding(reader)
    for constant in _float16_constants(model):
        _replace(openvino, constant, exact)
    openvino.save_model(model, built, compress_to_fp16=False)
    for left in ("rounded.xml", "rounded.bin"):
        (folder / left).unlink()


def _by_rounding(reader: gguf.GGUFReader) -> dict[bytes, numpy.ndarray]:
    """Float32 tensors by the bytes of their float16 rounding; rotary frequencies among them."""
    exact: dict[bytes, numpy.ndarray] = {}
    for values in [*_layouts(reader), _rotary_frequencies(reader)]:
        key = values.astype(numpy.float16).tobytes()
        if key in exact and not numpy.array_equal(exact[key].ravel(), values.ravel()):
            raise ValueError("two tensors differ in float32 and are equal in float16")
        exact[key] = values
    return exact


def _layouts(reader: gguf.GGUFReader) -> Iterator[numpy.ndarray]:
    """Every tensor; rows of Q and K also in the order of Hugging Face, which OpenVINO keeps."""
    for name, values in dequantized(reader):
        yield values
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            count = "head_count" if name.endswith("attn_q.weight") else "head_count_kv"
            heads = _number(reader, f"attention.{count}")
            pairs = values.reshape(heads, -1, 2, values.shape[1])
            yield pairs.swapaxes(1, 2).reshape(values.shape)


def _rotary_frequencies(reader: gguf.GGUFReader) -> numpy.ndarray:
    """theta^(-2i/d) for the d rotated dimensions of a head, as RoFormer (2021) defines them."""
    size = _number(reader, "rope.dimension_count")
    powers = numpy.arange(0, size, 2, dtype=numpy.float64) / size
    return (_number(reader, "rope.freq_base") ** -powers).astype(numpy.float32)


def _number(reader: gguf.GGUFReader, key: str) -> Any:
    return reader.get_field(f"{reader.get_field(ARCHITECTURE).contents()}.{key}").contents()


def _float16_constants(model: Any) -> list[Any]:
    return [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_element_type().to_string() == "f16"
    ]


def _replace(openvino: Any, constant: Any, exact: dict[bytes, numpy.ndarray]) -> None:
    """Put float32 values in the place of a rounded constant and of its decompression."""
    rounded = constant.data
    found = exact.get(rounded.tobytes())
    if found is None:
        if rounded.size > LARGEST_SCALAR:
            raise ValueError(
                f"{constant.get_friendly_name()} {rounded.shape}: not a tensor of the GGUF file; "
                "this architecture is not one whose float32 IR can be made here"
            )
        found = rounded.astype(numpy.float32)
    values = numpy.ascontiguousarray(found.reshape(rounded.shape))
    replacement = openvino.op.Constant(values)
    replacement.set_friendly_name(constant.get_friendly_name().removesuffix("_compressed"))
    for user in constant.output(0).get_target_inputs():
        decompression = user.get_node()
        if decompression.get_type_name() != "Convert":
            raise ValueError(f"{constant.get_friendly_name()}: is used without a decompression")
        decompression.output(0).replace(replacement.output(0))


JOBS: dict[str, Callable[..., None]] = {"dequantized": to_gguf, "openvino": to_openvino}


def main() -> int:
    """Do the job; an error is one line on standard error."""
    os.dup2(2, 1)
    job = json.loads(sys.argv[1])
    kind = job.pop("kind")
    try:
        JOBS[kind](Path(job["folder"]), Path(job["gguf"]), job["dtype"])
    except Exception as error:
        first = (str(error).strip() or "no message").splitlines()[0]
        print(f"{type(error).__name__}: {first}", file=sys.stderr)
        return 1
    say(peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    return 0


if __name__ == "__main__":
    sys.exit(main())
