"""A stand-in for a container engine: no engine is here. It starts no container.

As with docker there are a client, an executable named `docker`, and a daemon that owns what runs,
so that ending the client ends nothing. The "container" is the calibration server on the published
port. `deaf` in its command makes it ignore TERM.
"""

import json
import shlex
import signal
import socketserver
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

CLIENT = """#!{python}
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as link:
    link.connect({socket!r})
    link.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    code, out, err = json.loads(link.makefile().readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


class StandInEngine:
    """The daemon, and the folder of its client; `calls` are the command lines it was given."""

    def __init__(self, folder: Path, images: set[str]) -> None:
        self.folder, self.images = folder, images
        self.calls: list[list[str]] = []
        self.containers: dict[str, tuple[subprocess.Popen[bytes], list[str]]] = {}
        self.signals: list[str] = []
        path = str(folder / "engine.sock")
        client = folder / "docker"
        client.write_text(CLIENT.format(python=sys.executable, socket=path))
        client.chmod(0o755)
        engine = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                arguments = json.loads(self.rfile.readline())
                engine.calls.append(arguments)
                answer = getattr(engine, f"_{arguments[0]}")(arguments[1:])
                with suppress(BrokenPipeError):  # the client was killed
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        self._server = socketserver.ThreadingUnixStreamServer(path, Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for process, _ in self.containers.values():
            process.kill()

    def running(self) -> list[str]:
        return [name for name, (process, _) in self.containers.items() if process.poll() is None]

    def _run(self, arguments: list[str]) -> tuple[int, str, str]:
        def option(name: str) -> str:
            return arguments[arguments.index(name) + 1]

        port = option("--publish").split(":")[1]
        command = [sys.executable, "-m", "inferometer.load.calibration_server", "--port", port]
        process = subprocess.Popen(
            [*command, "--ttft-ms", "5", "--itl-ms", "1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        self.containers[option("--name")] = (process, arguments)
        return process.wait() % 256, "", ""

    def _kill(self, arguments: list[str]) -> tuple[int, str, str]:
        name = arguments[-1]
        wanted = "TERM" if "--signal" in arguments else "KILL"
        self.signals.append(wanted)
        process, run = self.containers[name]
        if wanted == "KILL" or "deaf" not in run:
            process.send_signal(signal.Signals[f"SIG{wanted}"])
        return 0, name, ""

    def _rm(self, arguments: list[str]) -> tuple[int, str, str]:
        self.containers[arguments[-1]][0].kill()
        return 0, arguments[-1], ""

    def _ps(self, arguments: list[str]) -> tuple[int, str, str]:
        return 0, "", ""

    def _image(self, arguments: list[str]) -> tuple[int, str, str]:
        known = arguments[-1] in self.images
        return (0, "[]", "") if known else (1, "", f"No such image: {arguments[-1]}")

    def _inspect(self, arguments: list[str]) -> tuple[int, str, str]:
        _, run = self.containers[arguments[-1]]
        volumes = [run[number + 1] for number, part in enumerate(run) if part == "--volume"]
        image = next(part for part in run if "@sha256:" in part)
        mounts = [
            {"Type": "bind", "Destination": volume.split(":")[1], "RW": not volume.endswith(":ro")}
            for volume in volumes
        ]
        content: dict[str, Any] = {
            "Config": {"Image": image},
            "Image": image.rpartition("@")[2],
            "HostConfig": {"Init": "--init" in run},
            "Mounts": mounts,
        }
        return 0, json.dumps([content]), ""

    def text(self, verb: str) -> str:
        """The command line of the one call with this verb."""
        (call,) = [call for call in self.calls if call[0] == verb]
        return shlex.join(call)
