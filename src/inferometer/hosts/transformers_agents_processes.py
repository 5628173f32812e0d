"""N processes, each with a model of its own and one sequence."""

import ctypes
import gc
import multiprocessing
import signal
import sys
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from torch.profiler import record_function
from transformers_agents_forward import Forwards, Generated, generate
from transformers_agents_trace import Tracer
from transformers_memory import is_out_of_memory
from transformers_model import load

PR_SET_PDEATHSIG = 1


class OutOfMemory(MemoryError):
    """A process had no memory left."""


class Ended(RuntimeError):
    """A process ended unasked."""


class Processes:
    """The processes, kept from run to run; every use is prepare, release, collect.

    Each may use max(1, threads // N) torch threads. Should one fail, all are ended, so that the
    next run begins with new ones.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self._context = multiprocessing.get_context("spawn")
        self._agents: list[tuple[Any, Connection]] = []
        self._busy = 0

    def prepare(self, prompts: list[list[int]], output_tokens: int, traces: list[Path]) -> None:
        """Start processes that are missing; all wait for their release, their profilers on."""
        self._busy = len(prompts)
        try:
            self._start()
            threads = max(1, self.options["threads"] // len(prompts))
            for agent, prompt in enumerate(prompts):
                path = traces[agent] if traces else None
                self._send(agent, (prompt, output_tokens, threads, path))
            self._from_all()
        except BaseException:
            self._end()
            raise

    def release(self) -> tuple[list[Generated], Counter[int]]:
        """Let all go; the sequences, and how many forwards carried how many sequences."""
        for _ in range(self._busy):
            self._gate.release()
        try:
            found = self._from_all()
        except BaseException:
            self._end()
            raise
        return [each for each, _ in found], sum((sizes for _, sizes in found), Counter())

    def collect(self) -> None:
        """Have the traces written, now that no sequence is disturbed by it."""
        try:
            for agent in range(self._busy):
                self._send(agent, "collect")
            self._from_all()
        except BaseException:
            self._end()
            raise

    def _start(self) -> None:
        if not self._agents:
            # a new one each time: a process that was killed leaves the old one in any state
            self._gate = self._context.Semaphore(0)
        new = range(len(self._agents), self._busy)
        for _ in new:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(
                target=serve, args=(self.options, theirs, self._gate), daemon=True
            )
            process.start()
            theirs.close()
            self._agents.append((process, ours))
        for agent in new:
            self._receive(agent)

    def _from_all(self) -> list[Any]:
        return [self._receive(agent) for agent in range(self._busy)]

    def _send(self, agent: int, message: Any) -> None:
        try:
            self._agents[agent][1].send(message)
        except OSError:
            raise self._ended(agent) from None

    def _receive(self, agent: int) -> Any:
        process, connection = self._agents[agent]
        wait([connection, process.sentinel])
        try:
            kind, content = connection.recv()
        except (EOFError, OSError):
            raise self._ended(agent) from None
        if kind == "ok":
            return content
        raise (OutOfMemory if kind == "oom" else RuntimeError)(f"agent {agent}: {content}")

    def _ended(self, agent: int) -> Ended:
        process = self._agents[agent][0]
        process.join()
        code = process.exitcode
        how = f"with code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        return Ended(f"the process of agent {agent} ended {how}; its last words are in the log")

    def _end(self) -> None:
        for process, connection in self._agents:
            process.kill()
            process.join()
            connection.close()
        self._agents.clear()


def serve(options: dict[str, Any], connection: Connection, gate: Any) -> None:
    """One process: load the model, then make one sequence for each message until killed."""
    if sys.platform == "linux":  # never outlive the worker
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        torch.set_num_interop_threads(1)
        model = load(options)
        forwards = Forwards(model)
        gc.collect()
        gc.freeze()
        connection.send(("ok", None))
        while True:
            prompt, output_tokens, threads, trace = connection.recv()
            torch.set_num_threads(threads)
            forwards.reset()
            tracer = Tracer(model.device) if trace else None
            if tracer:
                tracer.start()
            connection.send(("ok", None))
            gate.acquire()
            with record_function("run"):
                made = generate(model, [prompt], output_tokens)[0]
            connection.send(("ok", (made, forwards.sizes)))
            connection.recv()
            if tracer:
                tracer.stop(trace)
            connection.send(("ok", None))
    except EOFError:
        return
    except Exception as error:
        kind = "oom" if is_out_of_memory(error) else "error"
        connection.send((kind, f"{type(error).__name__}: {error}"[:2000]))
