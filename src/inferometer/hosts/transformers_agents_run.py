"""One run: prepare, release all sequences together, and say what came of it."""

import itertools
import time
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.profiler import record_function
from transformers import PreTrainedModel
from transformers_agents_continuous import Continuous
from transformers_agents_controls import Batch, Control, Serial, Threads
from transformers_agents_forward import Generated
from transformers_agents_processes import Processes
from transformers_agents_trace import Tracer
from transformers_memory import is_out_of_memory

CONTROLS: dict[str, Any] = {
    "serial": Serial,
    "threads": Threads,
    "batch": Batch,
    "continuous": Continuous,
}


class Runner(Protocol):
    """What makes runs."""

    def run(self, prompts: list[list[int]], output_tokens: int, profile: bool) -> dict[str, Any]:
        """All sequences; an answer with a status whatever happens."""


def runner_of(model: PreTrainedModel, options: dict[str, Any], folder: Path) -> Runner:
    """The runner of a control; processes have models of their own."""
    if options["control"] == "processes":
        return AllProcesses(Processes(options), folder)
    return OneProcess(CONTROLS[options["control"]](model, options), model.device, folder)


class OneProcess:
    """Runs of a control within this process."""

    def __init__(self, control: Control, device: torch.device, folder: Path) -> None:
        self.control, self.device, self.folder = control, device, folder
        self.numbers = itertools.count()

    def run(self, prompts: list[list[int]], output_tokens: int, profile: bool) -> dict[str, Any]:
        """See `Runner`. The range "run" in a trace spans exactly the timed region."""
        forwards = self.control.forwards
        forwards.reset()
        tracer = Tracer(self.device) if profile else None
        traces = [self.folder / f"run-{next(self.numbers)}.json"] if profile else []
        started_s = time.monotonic()
        generated: list[Generated] = []
        failure = None
        try:
            release = self.control.prepare(prompts, output_tokens)
            if tracer:
                tracer.start()
            started_s = time.monotonic()
            with record_function("run"):
                generated = release()
        except Exception as error:
            failure, traces = error, []
        finally:
            if tracer:
                tracer.stop(traces[0] if traces else None)
        return answer(started_s, generated, forwards.sizes, traces, failure)


class AllProcesses:
    """Runs of N processes."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.processes, self.folder = processes, folder
        self.numbers = itertools.count()

    def run(self, prompts: list[list[int]], output_tokens: int, profile: bool) -> dict[str, Any]:
        """See `Runner`; a process that ended unasked is an error, and the next run has new ones."""
        number = next(self.numbers)
        names = [self.folder / f"run-{number}-{agent}.json" for agent in range(len(prompts))]
        traces = names if profile else []
        started_s = time.monotonic()
        generated: list[Generated] = []
        sizes: Counter[int] = Counter()
        failure = None
        try:
            self.processes.prepare(prompts, output_tokens, traces)
            started_s = time.monotonic()
            generated, sizes = self.processes.release()
            self.processes.collect()
        except Exception as error:
            failure, traces = error, []
        return answer(started_s, generated, sizes, traces, failure)


def answer(
    started_s: float,
    generated: list[Generated],
    sizes: Counter[int],
    traces: list[Path],
    failure: Exception | None,
) -> dict[str, Any]:
    """The answer to a request; after a failure it holds no sequences."""
    ended_s = max((each.ended_s for each in generated), default=time.monotonic())
    status, text = "ok", None
    if failure is not None:
        status = "oom" if is_out_of_memory(failure) else "error"
        text = f"{type(failure).__name__}: {failure}"[:2000]
        generated = []
    return {
        "status": status,
        "error": text,
        "started_s": started_s,
        "wall_s": ended_s - started_s,
        "sequences": [
            {
                "agent": agent,
                "started_s": each.started_s,
                "ttft_s": each.first_s - started_s,
                "ended_s": each.ended_s,
                "tokens": len(each.output_ids),
                "output_ids": each.output_ids,
            }
            for agent, each in enumerate(generated)
        ],
        "steps": sum(sizes.values()),
        "batch_sizes": {str(size): count for size, count in sorted(sizes.items())},
        "traces": [str(path) for path in traces],
    }
