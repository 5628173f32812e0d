"""The worker's HTTP side: threads that take requests, one main thread that serves them in turn.

Nothing is timed here. While the main thread computes, the threads of the server sleep.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any

from json_http import BadRequest, JsonHandler, listen


class Job:
    """One request on its way to the main thread, and its answer on the way back."""

    def __init__(self, path: str, body: dict[str, Any]) -> None:
        self.path, self.body = path, body
        self.status, self.answer = 500, {"error": "no answer"}
        self.done = threading.Event()


class Inbox:
    """The listening socket and the requests that wait; `ready` opens `/health`."""

    def __init__(self, host: str, port: int) -> None:
        self.jobs: queue.Queue[Job] = queue.Queue()
        self.ready = threading.Event()
        listen(host, port, _handler(self))

    def serve(self, routes: dict[str, Callable[[dict[str, Any]], dict[str, Any]]]) -> None:
        """Answer requests in this thread, one after the other, for ever."""
        self.ready.set()
        while True:
            job = self.jobs.get()
            try:
                if job.path not in routes:
                    job.status, job.answer = 404, {"error": f"{job.path}: no such path"}
                else:
                    job.status, job.answer = 200, routes[job.path](job.body)
            except BadRequest as error:
                job.status, job.answer = 400, {"error": str(error)}
            except Exception as error:
                job.status, job.answer = 500, {"error": f"{type(error).__name__}: {error}"}
            job.done.set()


def _handler(inbox: Inbox) -> type[JsonHandler]:
    class Handler(JsonHandler):
        def do_GET(self) -> None:
            if not inbox.ready.is_set():
                self.answer(503, {"error": "the model is being loaded"})
            elif self.path == "/health":
                self.answer(200, {"status": "ok"})
            else:
                self._pass_on({})

        def do_POST(self) -> None:
            try:
                body = self.read()
            except BadRequest as error:
                self.answer(400, {"error": str(error)})
                return
            if not inbox.ready.is_set():
                self.answer(503, {"error": "the model is being loaded"})
            else:
                self._pass_on(body)

        def _pass_on(self, body: dict[str, Any]) -> None:
            job = Job(self.path, body)
            inbox.jobs.put(job)
            job.done.wait()
            self.answer(job.status, job.answer)

    return Handler
