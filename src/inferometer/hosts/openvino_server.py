"""Serve one model with OpenVINO GenAI's continuous batching over streaming HTTP.

Runs inside the stack's own environment and imports only that stack, the standard library and the
files beside it. It takes its settings as one JSON argument, so that the command line in a manifest
is complete. What is in force is read from what OpenVINO itself prints while it loads.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
from openai_http import Served, Server

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
MODEL_SECTION = "Model: LLM with Paged Attention"
SCHEDULER_SECTION = "SchedulerConfig {"
VERBOSE = "3"
"""OpenVINO's level of logging at which it prints the properties of what it compiled."""


@contextmanager
def printed() -> Iterator[list[str]]:
    """The lines that come to standard output meanwhile, from libraries in C++ too."""
    lines: list[str] = []
    sys.stdout.flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 1)
        try:
            yield lines
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            sink.seek(0)
            lines += sink.read().decode(errors="replace").splitlines()


def section(lines: list[str], title: str) -> dict[str, str]:
    """The `NAME: value` lines that are indented under a title."""
    found: dict[str, str] = {}
    start = next((at for at, line in enumerate(lines) if line.startswith(title)), len(lines))
    for line in lines[start + 1 :]:
        if not line.startswith("  "):
            break
        name, _, value = line.strip().partition(":")
        found[name] = value.strip()
    return found


class OpenVinoText:
    """The model's own tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._pieces = {number: piece for piece, number in tokenizer.get_vocab().items()}

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without special tokens."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).input_ids
        return [int(token) for token in ids.data[0]]

    def piece(self, token: int) -> bytes:
        """The bytes that one token stands for; none for an id without a token."""
        return self._pieces.get(token, b"")

    @property
    def ends(self) -> frozenset[int]:
        """The token that ends an answer, if the model names one."""
        token = self._tokenizer.get_eos_token_id()
        return frozenset([token] if token >= 0 else [])

    @property
    def size(self) -> int:
        """Number of token ids."""
        return max(self._pieces) + 1


class OpenVinoEngine:
    """The pipeline, stepped by the caller."""

    def __init__(self, options: dict[str, Any]) -> None:
        os.environ["OPENVINO_LOG_LEVEL"] = VERBOSE
        import openvino
        import openvino_genai

        self._openvino, self._genai = openvino, openvino_genai
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.max_num_seqs = options["max_sequences"]
        scheduler.max_num_batched_tokens = options["batch_tokens"]
        scheduler.cache_size = options["cache_size_gib"]
        scheduler.dynamic_split_fuse = options["split_prompts"]
        scheduler.enable_prefix_caching = options["prefix_cache"]
        with printed() as lines:
            self._pipeline = openvino_genai.ContinuousBatchingPipeline(
                options["model"], scheduler, "CPU", _properties(options)
            )
        del os.environ["OPENVINO_LOG_LEVEL"]
        print("\n".join(lines), file=sys.stderr, flush=True)
        self.compiled = section(lines, MODEL_SECTION)
        self.scheduler = section(lines, SCHEDULER_SECTION)
        self.text = OpenVinoText(self._pipeline.get_tokenizer())
        self._handles: dict[int, Any] = {}

    def add(self, key: int, prompt: list[int], output_tokens: int) -> None:
        """Take a sequence in; greedy, end-of-sequence ignored."""
        config = self._genai.GenerationConfig()
        config.max_new_tokens = output_tokens
        config.ignore_eos = True
        config.do_sample = False
        ids = self._openvino.Tensor(numpy.array([prompt], dtype=numpy.int64))
        self._handles[key] = self._pipeline.add_request(key, ids, config)

    def cancel(self, key: int) -> None:
        """Forget a sequence; the next step frees its cache."""
        self._handles.pop(key).cancel()
        if not self._handles:
            self._pipeline.step()

    def step(self) -> Iterator[tuple[int, int]]:
        """One step of the pipeline, and the tokens it made."""
        self._pipeline.step()
        for key, handle in list(self._handles.items()):
            status = handle.get_status()
            if handle.can_read():
                for output in handle.read().values():
                    for token in output.generated_ids:
                        yield key, token
            if status == self._genai.GenerationStatus.IGNORED:
                raise MemoryError("the KV cache is too small for one sequence: cache_size_gib")
            if status == self._genai.GenerationStatus.FINISHED:
                del self._handles[key]

    def facts(self) -> dict[str, Any]:
        """Versions, and what the pipeline says of itself."""
        return {
            "openvino": self._openvino.get_version(),
            "openvino_genai": self._genai.get_version(),
            "compiled": self.compiled,
            "scheduler": self.scheduler,
        }


def _properties(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": PRECISIONS[options["dtype"]],
        "KV_CACHE_PRECISION": options["kv_cache_precision"],
        "INFERENCE_NUM_THREADS": options["threads"],
    }


def main() -> None:
    """Load the model, then serve until killed; the port is the caller's."""
    options = json.loads(sys.argv[1])
    server = Server(options["host"], options["port"])
    try:
        engine = OpenVinoEngine(options)
    except Exception as error:
        sys.exit(f"{options['model']} cannot be run: {type(error).__name__}: {error}")
    served = Served(
        model=Path(options["model"]).stem,
        props={key: options[key] for key in ("max_sequences", "context")} | engine.facts(),
        text=engine.text,
        vocabulary=engine.text.size,
        context=options["context"],
        max_sequences=options["max_sequences"],
        ends=engine.text.ends,
    )
    print(json.dumps({"listening": options["port"]}), flush=True)
    server.serve(engine, served)


if __name__ == "__main__":
    main()
