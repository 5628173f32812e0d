"""Serve one Hugging Face model, in process, with prefill and decode apart.

Runs inside the stack's own environment and imports only torch, transformers, the standard library
and the files beside it. It takes its settings as one JSON argument, so that the command line in a
manifest is complete. The memory limit is set before torch is imported.
"""

import atexit
import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from json_http import BadRequest
from transformers_http import Inbox
from transformers_memory import is_out_of_memory, limit_mib, set_limit

KEYS = {
    "/generate": {"prompt", "output_tokens", "cache"},
    "/hold": {"part", "seconds", "prompt", "output_tokens"},
    "/ceilings": {"size_bytes", "repetitions", "warm_s"},
}


def main() -> None:
    """Load the model, then answer until killed; the port is the caller's."""
    options = json.loads(sys.argv[1])
    set_limit(options["memory_limit_mib"])
    inbox = Inbox(options["host"], options["port"])
    try:
        worker = Worker(options)
    except Exception as error:
        sys.exit(_why_not_loaded(error, options))
    print(json.dumps({"listening": options["port"]}), flush=True)
    inbox.serve(worker.routes())


def _why_not_loaded(error: Exception, options: dict[str, Any]) -> str:
    text = f"{options['model']} cannot be run: {type(error).__name__}: {error}"
    if is_out_of_memory(error) and options["memory_limit_mib"]:
        return f"{text}\nmemory_limit_mib {options['memory_limit_mib']} is too little to load it"
    if isinstance(error, ImportError | OSError) and "libcu" in str(error):
        return (
            f"{text}\nthis torch is built for CUDA, whose libraries are missing: make the "
            "environment from an index with CPU builds, see envs/transformers.txt"
        )
    return text


class Worker:
    """A loaded model and what it answers."""

    def __init__(self, options: dict[str, Any]) -> None:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ["HF_HUB_OFFLINE"] = "1"
        if options["compile"] != "none":
            _cold_compiler_cache()
        import torch
        from transformers_model import facts, load
        from transformers_phases import Phases

        self.options = options
        torch.set_num_threads(options["threads"])
        torch.set_num_interop_threads(1)
        started = time.monotonic()
        self.model = load(options)
        self.phases = Phases(
            self.model,
            compile=options["compile"],
            dynamic_shapes=options["dynamic_shapes"],
            cache=options["cache"],
        )
        gc.collect()
        gc.freeze()  # the garbage collector need not walk through torch in a measurement
        self.facts = facts(self.model) | {
            "load_s": time.monotonic() - started,
            "loaded_bytes": self.phases.memory.begin(),
            "capacity_bytes": self.phases.memory.capacity(),
            "compile": options["compile"],
            "dynamic_shapes": options["dynamic_shapes"],
            "cache_kind": options["cache"],
            "threads": torch.get_num_threads(),
            "memory_limit_mib": limit_mib(),
            "clock": self.phases.clock.name,
            "memory_source": self.phases.memory.source,
            "memory_why_not": self.phases.memory.why_not,
        }

    def routes(self) -> dict[str, Any]:
        """Path -> what answers it."""
        return {
            "/props": lambda _: self.facts,
            "/generate": self.generate,
            "/hold": self.hold,
            "/ceilings": self.ceilings,
            "/log_probs": lambda body: self._log_probs["/log_probs"](body),
            "/text_log_probs": lambda body: self._log_probs["/text_log_probs"](body),
        }

    @cached_property
    def _log_probs(self) -> dict[str, Any]:
        """The routes of log-probabilities; the tokenizer is loaded for the first of them."""
        from log_prob_routes import routes
        from log_probs import LogProbs
        from transformers_log_probs import Logits

        seen = Logits(self.model, self.options["model"])
        return routes(LogProbs(seen.encode, seen.logits, self.facts["context"]))

    def generate(self, body: dict[str, Any]) -> dict[str, Any]:
        """One sequence; see `Phases.generate`."""
        _only(body, "/generate")
        prompt, output_tokens = self._sequence(body)
        cached = body.get("cache", True)
        if not isinstance(cached, bool):
            raise BadRequest(f"cache is {cached!r}; it is true or false")
        return self.phases.generate(prompt, output_tokens, cached)

    def hold(self, body: dict[str, Any]) -> dict[str, Any]:
        """One window; see `Phases.hold`."""
        _only(body, "/hold")
        part, seconds = body.get("part"), body.get("seconds")
        if part not in ("prefill", "decode", "idle"):
            raise BadRequest(f"part is {part!r}; it is prefill, decode or idle")
        if not isinstance(seconds, int | float) or seconds <= 0:
            raise BadRequest(f"seconds is {seconds!r}; it is a number above 0")
        if part == "idle":
            return self.phases.hold(part, seconds, [], 0)
        prompt, output_tokens = self._sequence(body)
        if part == "decode" and output_tokens < 2:
            raise BadRequest("output_tokens is 1: prefill makes that token, nothing is decoded")
        return self.phases.hold(part, seconds, prompt, output_tokens)

    def ceilings(self, body: dict[str, Any]) -> dict[str, Any]:
        """Bandwidths over arrays of the model's weight size, unless told, and compute."""
        from transformers_ceilings import Prober

        _only(body, "/ceilings")
        size_bytes = body.get("size_bytes") or self.facts["weight_bytes"]
        repetitions = body.get("repetitions")
        for name, value in (("size_bytes", size_bytes), ("repetitions", repetitions)):
            if not isinstance(value, int) or value < 1:
                raise BadRequest(f"{name} is {value!r}; it is a whole number of at least 1")
        given = {"warm_s": body["warm_s"]} if "warm_s" in body else {}
        prober = Prober(self.phases.device, self.phases.clock, repetitions, **given)
        try:
            probes = prober.bandwidths(size_bytes) + prober.product(self.model.dtype)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise BadRequest(f"arrays of {size_bytes} bytes do not fit: {error}") from None
        finally:
            self.phases.memory.release()
        return {"probes": probes}

    def _sequence(self, body: dict[str, Any]) -> tuple[list[int], int]:
        prompt, output_tokens = body.get("prompt"), body.get("output_tokens", 1)
        vocabulary, context = self.facts["vocabulary"], self.facts["context"]
        if not isinstance(prompt, list) or not prompt:
            raise BadRequest("prompt is not a list of token ids")
        if not all(isinstance(token, int) and 0 <= token < vocabulary for token in prompt):
            raise BadRequest(f"prompt has ids outside the vocabulary of {vocabulary}")
        if not isinstance(output_tokens, int) or output_tokens < 1:
            raise BadRequest(f"output_tokens is {output_tokens!r}; it is at least 1")
        if context is not None and len(prompt) + output_tokens > context:
            raise BadRequest(
                f"{len(prompt)} prompt and {output_tokens} output tokens are more than the "
                f"model's context of {context}"
            )
        return prompt, output_tokens


def _cold_compiler_cache() -> None:
    """Empty caches for the compilers of torch, of this process alone; they go when it is ended."""
    folder = tempfile.mkdtemp(prefix="inferometer-compile-")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder, "inductor"))
    os.environ["TRITON_CACHE_DIR"] = str(Path(folder, "triton"))

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def end(*_: object) -> None:
        remove()
        os._exit(0)

    atexit.register(remove)
    signal.signal(signal.SIGTERM, end)


def _only(body: dict[str, Any], path: str) -> None:
    if unknown := sorted(set(body) - KEYS[path]):
        raise BadRequest(f"{path}: unknown key {unknown[0]}; known: {', '.join(KEYS[path])}")


if __name__ == "__main__":
    main()
