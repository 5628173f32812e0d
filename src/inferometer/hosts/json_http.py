"""Requests and answers in JSON over HTTP, of the standard library alone; shared by the hosts.

While the engine computes, the threads of the server sleep.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NEVER_S = 3600.0


class BadRequest(Exception):
    """A request that cannot be served; the message says why."""


class JsonHandler(BaseHTTPRequestHandler):
    """One connection; a server of our own adds `do_GET` and `do_POST`."""

    protocol_version = "HTTP/1.1"

    def read(self) -> dict[str, Any]:
        """The body of a request; `BadRequest` when it is not a JSON object."""
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            body = json.loads(data)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise BadRequest("the body is not a JSON object")
        return body

    def answer(self, status: int, content: dict[str, Any]) -> None:
        """The whole answer."""
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """No log line per request."""


def listen(host: str, port: int, handler: type[JsonHandler]) -> None:
    """Take connections in, one thread each, until the process ends."""
    server = ThreadingHTTPServer((host, port), handler)
    server.daemon_threads = True
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": NEVER_S}, daemon=True
    ).start()
