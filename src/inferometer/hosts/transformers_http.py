"""The worker's HTTP side: threads that take requests, one main thread that serves them in turn.

Nothing is timed here. While the main thread computes, the threads of the server sleep.
"""

import json
import queue
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NEVER_S = 3600.0


class BadRequest(Exception):
    """A request that cannot be served; the message says why."""


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
        self.server = ThreadingHTTPServer((host, port), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": NEVER_S}, daemon=True
        ).start()

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


def _handler(inbox: Inbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not inbox.ready.is_set():
                self._send(503, {"error": "the model is being loaded"})
            elif self.path == "/health":
                self._send(200, {"status": "ok"})
            else:
                self._pass_on({})

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                body = json.loads(text)
            except ValueError:
                body = None
            if not isinstance(body, dict):
                self._send(400, {"error": "the body is not a JSON object"})
            elif not inbox.ready.is_set():
                self._send(503, {"error": "the model is being loaded"})
            else:
                self._pass_on(body)

        def _pass_on(self, body: dict[str, Any]) -> None:
            job = Job(self.path, body)
            inbox.jobs.put(job)
            job.done.wait()
            self._send(job.status, job.answer)

        def _send(self, status: int, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """No log line per request."""

    return Handler
