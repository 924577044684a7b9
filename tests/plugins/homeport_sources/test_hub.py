import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("huggingface_hub")

COMMIT = "a" * 40
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "tiny-Q8_0.gguf": b"GGUF" * 100,
    "evil.py": b"raise SystemExit",
    "pytorch_model.bin": b"pickle",
}
FETCH = """
import json, sys
from pathlib import Path
from homeport import Artifact, PullError
from homeport_sources.hub import Hub

told = []
into = Path(sys.argv[1])
into.mkdir()
try:
    source = Hub()
    artifact = source.locate(sys.argv[2]) or Artifact(source="hub", locator=sys.argv[2])
    source.fetch(artifact, into, lambda *progress: told.append(progress))
    outcome = {}
except PullError as error:
    outcome = {"error": error.message, "hint": error.hint}
files = {path.name: path.read_text() for path in into.rglob("*") if path.is_file()}
print(json.dumps({**outcome, "files": files, "told": told}))
"""


class FakeHub(BaseHTTPRequestHandler):
    """As much of the hub's HTTP interface as a download needs, with one public and one gated model."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Say nothing."""

    def do_HEAD(self):
        """Answer without a body."""
        self._answer(with_body=False)

    def do_GET(self):
        """Answer."""
        self._answer(with_body=True)

    def _answer(self, *, with_body):
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        status, headers, body = 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        name = path.rpartition("/")[2]
        if path.startswith("/api/models/me/model/tree/"):
            status, headers, body = 200, {}, json.dumps([self._tree_entry(name) for name in FILES]).encode()
        elif path == "/api/models/me/model/revision/nope":
            headers = {"X-Error-Code": "RevisionNotFound"}
        elif path.startswith("/api/models/me/model"):
            siblings = [{"rfilename": name, **self._size(name)} for name in FILES]
            model = {"_id": "1", "id": "me/model", "sha": COMMIT, "private": False, "siblings": siblings}
            status, headers, body = 200, {}, json.dumps(model).encode()
        elif path.startswith("/api/models/me/gated"):
            status, headers = 403, {"X-Error-Code": "GatedRepo"}
        elif "/resolve/" in path and name in FILES:
            body = self.server.files[name]
            digest = hashlib.sha256(FILES[name]).hexdigest()
            status, headers = 200, {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    @staticmethod
    def _size(name):
        size = {"size": len(FILES[name])}
        if name.endswith((".safetensors", ".gguf")):
            digest = hashlib.sha256(FILES[name]).hexdigest()
            size["lfs"] = {"sha256": digest, "oid": digest, "size": len(FILES[name]), "pointerSize": 130}
        return size

    def _tree_entry(self, name):
        oid = hashlib.sha1(FILES[name], usedforsecurity=False).hexdigest()
        return {"type": "file", "path": name, "oid": oid, **self._size(name)}


@pytest.fixture
def hub():
    """A hub of our own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    server.asked, server.files = [], dict(FILES)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetch(hub, tmp_path):
    """Fetch a locator in a process of its own, as homeport does, since the client reads its settings once."""
    runs = iter(range(10))

    def run(locator, **variables):
        environment = {
            **os.environ,
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
            "HF_HOME": str(tmp_path / "cache"),
            "NO_PROXY": "*",
            **variables,
        }
        folder = str(tmp_path / f"into-{next(runs)}")
        done = subprocess.run(
            [sys.executable, "-c", FETCH, folder, locator],
            env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    return run


def test_fetches_what_is_needed(hub, fetch):
    """Weights and settings come with progress; no code, no pickle, and no report on the user."""
    outcome = fetch("hf:me/model")
    assert set(outcome["files"]) == {"config.json", "tokenizer.json", "model.safetensors"}
    assert outcome["files"]["model.safetensors"] == FILES["model.safetensors"].decode()
    assert outcome["told"][-1] == ["me/model", 7004, 7004]
    assert not any(path.endswith(("evil.py", ".bin", "harnesses", "telemetry")) for path in hub.asked)


def test_fetches_the_gguf_file_that_was_asked_for(fetch):
    """A precision in the locator brings its GGUF file alone."""
    assert set(fetch("hf:me/model?quant=Q8_0")["files"]) == {"tiny-Q8_0.gguf"}


def test_works_offline_from_the_cache(fetch):
    """What the Hugging Face cache holds needs no connection."""
    fetch("hf:me/model")
    assert set(fetch("hf:me/model", HF_HUB_OFFLINE="1")["files"]) == {
        "config.json", "tokenizer.json", "model.safetensors",
    }  # fmt: skip


def test_refuses_other_bytes(hub, fetch):
    """A file of the right size and another digest is refused."""
    hub.files["model.safetensors"] = FILES["model.safetensors"].swapcase()
    assert "sha256 of model.safetensors is" in fetch("hf:me/model")["error"]


@pytest.mark.parametrize(
    ("locator", "variables", "error", "hint"),
    [
        ("hf:me/nope", {}, "pull model manifest: file does not exist", "the hub has no model me/nope, or it"),
        ("hf:me/model?revision=nope", {}, "me/model has no revision 'nope'", ""),
        ("hf:me/gated", {}, "accept the licence of me/gated", "https://huggingface.co/me/gated"),
        ("hf:me/model?quant=Q5_0", {}, "me/model: there are 0 GGUF files", "name one as the tag"),
        (
            "hf:me/model",
            {"HF_HUB_OFFLINE": "1"},
            "cannot be reached (OfflineModeIsEnabled)",
            "HF_HUB_OFFLINE",
        ),
        ("hf:me/model", {"HF_ENDPOINT": "http://127.0.0.1:1"}, "cannot be reached", "check the connection"),
        ("pypi:x", {}, "'pypi:x' is no locator of the hub", "hf:NAMESPACE/MODEL"),
    ],
)
def test_says_why_nothing_came(fetch, locator, variables, error, hint):
    """Absent, gated and unreachable models are told apart, each with what to do."""
    outcome = fetch(locator, **variables)
    assert error in outcome["error"]
    assert hint in (outcome["hint"] or "")
    assert outcome["files"] == {}
