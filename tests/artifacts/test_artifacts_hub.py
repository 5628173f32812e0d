"""Files of a model hub, from a stand-in: a local HTTP server that answers the hub's two requests.

The real hub is not needed and not reached; huggingface_hub is the real client.
"""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from inferometer.artifacts import catalog, fetch
from inferometer.errors import UserError

REVISION = "a" * 40
FILES = {"config.json": b'{"model_type": "gpt2"}', "model.safetensors": bytes(range(256)) * 64}


class Hub(BaseHTTPRequestHandler):
    """Serves `/{repository}/resolve/{revision}/{file}`."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        prefix = f"/someone/model/resolve/{REVISION}/"
        content = FILES.get(self.path.removeprefix(prefix)) if prefix in self.path else None
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        if content is not None:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", REVISION)
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        if body and content:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


def hosted(*files, sha256):
    entry = catalog.Artifact(
        title="a hosted model",
        architecture=None,
        quantization="F32",
        licence="MIT",
        sha256=sha256,
        source=catalog.HubSource(
            kind="hub", repository="someone/model", revision=REVISION, files=list(files)
        ),
    )
    return catalog.Catalog(schema_version=1, architectures={}, artifacts={"hosted": entry})


def test_one_file_is_brought_verified_and_kept(root, cache, hub):
    weights = FILES["model.safetensors"]
    known = hosted("model.safetensors", sha256=hashlib.sha256(weights).hexdigest())
    found = fetch.fetch("hosted", known, root)
    assert found.path.read_bytes() == weights
    hub.shutdown()
    assert fetch.fetch("hosted", known, root) == found


def test_several_files_are_a_folder_and_a_wrong_digest_is_shown(root, cache, hub):
    with pytest.raises(UserError, match="the catalog says 0000") as caught:
        fetch.fetch("hosted", hosted(*FILES, sha256="0" * 64), root)
    seen = str(caught.value).split("has sha256 ")[1][:64]
    found = fetch.fetch("hosted", hosted(*FILES, sha256=seen), root)
    assert sorted(path.name for path in found.path.iterdir()) == sorted(FILES)


@pytest.mark.slow  # the client tries again for half a minute
def test_a_hub_that_cannot_be_reached_is_one_message(root, cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="artifact hosted: could not be made or fetched: "):
        fetch.fetch("hosted", hosted("config.json", sha256="0" * 64), root)
    assert not list(cache.rglob("hosted"))
