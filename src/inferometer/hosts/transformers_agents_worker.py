"""Serve one Hugging Face model that makes N sequences at once, in the way its settings say.

Runs inside the stack's own environment and imports only torch, transformers, the standard library
and the files beside it. It takes its settings as one JSON argument, so that the command line in a
manifest is complete.
"""

import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from json_http import BadRequest
from transformers_http import Inbox
from transformers_memory import CudaMemory, HostMemory

KEYS = {"prompts", "output_tokens", "profile"}
MOST_THREADS = 64


def main() -> None:
    """Load the model, then answer until killed; the port is the caller's."""
    options = json.loads(sys.argv[1])
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ["HF_HUB_OFFLINE"] = "1"
    inbox = Inbox(options["host"], options["port"])
    folder = _folder()
    try:
        worker = Worker(options | {"most_threads": MOST_THREADS}, folder)
    except Exception as error:
        shutil.rmtree(folder)
        sys.exit(f"{options['model']} cannot be run: {type(error).__name__}: {error}")
    print(json.dumps({"listening": options["port"]}), flush=True)
    inbox.serve(worker.routes())


def _folder() -> Path:
    """A folder for traces that goes when the worker is told to go."""
    folder = Path(tempfile.mkdtemp(prefix="inferometer-traces-"))

    def leave(*_: object) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)  # threads that still compute are not waited for

    signal.signal(signal.SIGTERM, leave)
    return folder


class Worker:
    """A loaded model, its control, and what it answers; traces go to `folder`."""

    def __init__(self, options: dict[str, Any], folder: Path) -> None:
        import torch
        from transformers_agents_run import runner_of
        from transformers_model import facts, load

        torch.set_num_threads(options["threads"])
        torch.set_num_interop_threads(1)
        started = time.monotonic()
        model = load(options)
        gc.collect()
        load_s = time.monotonic() - started
        memory = CudaMemory(model.device) if model.device.type == "cuda" else HostMemory()
        loaded, capacity = memory.begin(), memory.capacity()
        self.runner = runner_of(model, options, folder)
        self.facts = facts(model) | {
            "load_s": load_s,
            "loaded_bytes": loaded,
            "capacity_bytes": capacity,
            "compile": "none",
            "cache_kind": "paged" if options["control"] == "continuous" else "dynamic",
            "threads": torch.get_num_threads(),
            "clock": "CLOCK_MONOTONIC",
            "memory_source": memory.source,
            "memory_why_not": memory.why_not,
            "control": options["control"],
            "max_agents": _max_agents(options["control"], loaded, capacity),
        }
        del model
        memory.release()
        gc.freeze()  # the garbage collector need not walk through torch in a measurement

    def routes(self) -> dict[str, Any]:
        """Path -> what answers it."""
        return {"/props": lambda _: self.facts, "/run": self.run}

    def run(self, body: dict[str, Any]) -> dict[str, Any]:
        """All sequences of one request, released together."""
        if unknown := sorted(set(body) - KEYS):
            raise BadRequest(f"/run: unknown key {unknown[0]}; known: {', '.join(sorted(KEYS))}")
        output_tokens, profile = body.get("output_tokens"), body.get("profile", False)
        if not isinstance(output_tokens, int) or output_tokens < 1:
            raise BadRequest(f"output_tokens is {output_tokens!r}; it is at least 1")
        if not isinstance(profile, bool):
            raise BadRequest(f"profile is {profile!r}; it is true or false")
        prompts = self._prompts(body.get("prompts"), output_tokens)
        return self.runner.run(prompts, output_tokens, profile)

    def _prompts(self, prompts: Any, output_tokens: int) -> list[list[int]]:
        vocabulary, context = self.facts["vocabulary"], self.facts["context"]
        most, control = self.facts["max_agents"], self.facts["control"]
        if not isinstance(prompts, list) or not prompts:
            raise BadRequest("prompts is not a list of lists of token ids")
        if most is not None and len(prompts) > most:
            raise BadRequest(f"{len(prompts)} sequences; control {control} takes at most {most}")
        for prompt in prompts:
            if not isinstance(prompt, list) or not prompt:
                raise BadRequest("a prompt is not a list of token ids")
            if not all(isinstance(token, int) and 0 <= token < vocabulary for token in prompt):
                raise BadRequest(f"a prompt has ids outside the vocabulary of {vocabulary}")
            if context is not None and len(prompt) + output_tokens > context:
                raise BadRequest(
                    f"{len(prompt)} prompt and {output_tokens} output tokens are more than the "
                    f"model's context of {context}"
                )
        if control == "batch" and len(set(map(len, prompts))) > 1:
            raise BadRequest("prompts differ in length; control batch pads none of them")
        return prompts


def _max_agents(control: str, loaded: int | None, capacity: int | None) -> int | None:
    """The most sequences of one run; `None` where only memory or time limit it.

    Processes are counted as if they shared no weights.
    """
    if control == "threads":
        return MOST_THREADS
    if control == "processes" and loaded and capacity:
        return max(1, capacity // loaded)
    return None


if __name__ == "__main__":
    main()
