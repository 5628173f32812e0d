"""Quantize one GGUF model by llama.cpp's own quantizer, or list the tensors of a GGUF.

Runs inside the environment `quantize`: the packages `cyllama` and `gguf`, and the standard
library. The job is one JSON argument; each line on standard output is one JSON object.
"""

import json
import os
import re
import resource
import sys
import tempfile
from pathlib import Path

import gguf

SPOKEN = os.fdopen(os.dup(1), "w")
"""Where facts go; whatever a library prints goes to standard error."""
FALLBACK = re.compile(
    r"^warning: (\S+) .*required for type\s+(\w+)\) -> falling back to\s+(\w+)", re.MULTILINE
)
"""How llama.cpp says that a row does not divide into the blocks of the type of its level."""


def say(**facts: object) -> None:
    """One line for the process that started us."""
    print(json.dumps(facts), file=SPOKEN, flush=True)


def quantize(folder: Path, path: Path, level: str) -> None:
    """Write `model.gguf`, and `fallbacks.json`: tensor -> the type asked for and the type given.

    The fallbacks are what llama.cpp reports; each is compared with the file that it wrote.
    """
    target = folder / "model.gguf"
    log = _quantized(path, target, gguf.LlamaFileType[f"MOSTLY_{level}"])
    fallbacks = {name: [wanted.upper(), got.upper()] for name, wanted, got in FALLBACK.findall(log)}
    counted = re.search(r"WARNING: (\d+) of \d+ tensor\(s\) required fallback", log)
    if len(fallbacks) != (int(counted[1]) if counted else 0):
        raise ValueError("llama.cpp counts other fallbacks than it lists")
    written = {tensor["name"]: tensor["type"] for tensor in tensors(target)}
    for name, (_, got) in fallbacks.items():
        if written[name] != got:
            raise ValueError(f"{name}: llama.cpp reports {got} and wrote {written[name]}")
    (folder / "fallbacks.json").write_text(json.dumps(fallbacks, indent=1) + "\n")


def _quantized(path: Path, target: Path, level: gguf.LlamaFileType) -> str:
    """Quantize in this process and return what llama.cpp printed."""
    from cyllama.llama import llama_cpp

    parameters = llama_cpp.LlamaModelQuantizeParams()
    parameters.ftype = int(level)
    kept = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            llama_cpp.model_quantize(str(path), str(target), parameters)
        except RuntimeError as error:
            raise ValueError(f"{error}: {_log(log).strip().splitlines()[-1:]}") from error
        finally:
            os.dup2(kept, 2)
        return _log(log)


def _log(file) -> str:  # type: ignore[no-untyped-def]
    file.seek(0)
    return file.read().decode(errors="replace")


def tensors(path: Path) -> list[dict]:
    """Name, type, number of weights and bytes of each tensor, in the order of the file."""
    return [
        {
            "name": tensor.name,
            "type": gguf.GGMLQuantizationType(tensor.tensor_type).name.upper(),
            "weights": int(tensor.n_elements),
            "bytes": int(tensor.n_bytes),
        }
        for tensor in gguf.GGUFReader(path).tensors
    ]


def main() -> int:
    """Do the job; an error is one line on standard error."""
    os.dup2(2, 1)
    job = json.loads(sys.argv[1])
    try:
        if job["kind"] == "tensors":
            say(tensors=tensors(Path(job["gguf"])))
            return 0
        quantize(Path(job["folder"]), Path(job["gguf"]), job["level"])
    except Exception as error:
        first = (str(error).strip() or "no message").splitlines()[0]
        print(f"{type(error).__name__}: {first}", file=sys.stderr)
        return 1
    say(peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    return 0


if __name__ == "__main__":
    sys.exit(main())
