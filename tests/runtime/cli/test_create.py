import hashlib
import json
import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

MODELFILE = '''
FROM tiny
PARAMETER temperature 0.25
PARAMETER stop "###"
SYSTEM """Be brief.
Say little."""
MESSAGE user hello
MESSAGE assistant hi
LICENSE MIT
'''


class BlobHandler(BaseHTTPRequestHandler):
    """Speaks the contract of blobs and of creation, and notes what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(200 if self.path in self.server.known else 404)

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        if self.path.startswith("/api/blobs/") and self.server.refusal:
            self._answer(*self.server.refusal)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        self.server.seen.append((self.path, body))
        if self.path == "/api/create":
            self._answer(200, self.server.steps)
        else:
            self._answer(201)

    def _answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        """Write no log."""


@pytest.fixture
def blob_server(free_port):
    """A server that knows some files, at the address that clients are told."""

    @contextmanager
    def serve(*, known=(), refusal=None, steps=b'{"status":"success"}\n'):
        with ThreadingHTTPServer(("127.0.0.1", free_port), BlobHandler) as server:
            server.known, server.refusal, server.steps, server.seen = known, refusal, steps, []
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()

    return serve


@pytest.fixture
def weights(tmp_path):
    """A Modelfile beside the file that it names."""
    data = b"GGUF" + bytes(3 * 1024**2)
    (tmp_path / "weights.gguf").write_bytes(data)
    (tmp_path / "Modelfile").write_text("FROM ./weights.gguf\n")
    return f"sha256:{hashlib.sha256(data).hexdigest()}", data


def test_a_model_is_made_of_another(echo_homeport, serving, tiny_model, tmp_path):
    """Texts and parameters of the Modelfile are those of the new model, which is listed and described."""
    (tmp_path / "Modelfile").write_text(MODELFILE)
    with serving("serve"):
        made = echo_homeport("create", "brief", "-f", str(tmp_path / "Modelfile"))
        assert (made.returncode, made.stdout) == (0, ""), made.stderr
        assert made.stderr.splitlines()[-1] == "success"
        assert "brief:latest" in echo_homeport("list").stdout
        assert echo_homeport("show", "brief", "--system").stdout == "Be brief.\nSay little.\n"
        assert "temperature" in echo_homeport("show", "brief", "--parameters").stdout
        assert echo_homeport("show", "brief", "--license").stdout == "MIT\n"


def test_a_modelfile_goes_round(echo_homeport, serving, tiny_model, tmp_path):
    """What show prints makes an equal model."""
    with serving("serve"):
        assert echo_homeport("create", "one", "-f", "-", stdin=MODELFILE).returncode == 0
        printed = echo_homeport("show", "one", "--modelfile").stdout
        assert echo_homeport("create", "two", "-f", "-", stdin=printed).returncode == 0
        again = echo_homeport("show", "two", "--modelfile").stdout
        assert again.replace("two:latest", "one:latest") == printed


def test_a_model_gets_a_further_name(echo_homeport, serving, tiny_model):
    """cp copies no weights, and rm takes one name after the other."""
    with serving("serve"):
        done = echo_homeport("cp", "tiny", "other:1b")
        assert (done.returncode, done.stdout) == (0, "copied 'tiny' to 'other:1b'\n"), done.stderr
        assert json.loads(echo_homeport("cp", "tiny", "third", "--json").stdout)["destination"] == "third"
        assert echo_homeport("rm", "tiny", "third").stdout == "deleted 'tiny'\ndeleted 'third'\n"
        assert "other:1b" in echo_homeport("list", "--all").stdout
        assert json.loads(echo_homeport("rm", "other:1b", "--json").stdout) == {"deleted": ["other:1b"]}
        missing = echo_homeport("cp", "tiny", "again")
        assert missing.returncode == 1
        assert missing.stderr.startswith('Error: model "tiny')


def test_each_step_is_a_line_for_programs(echo_homeport, serving, tiny_model):
    """--json passes on what the server says."""
    with serving("serve"):
        done = echo_homeport("create", "brief", "-f", "-", "--json", stdin=MODELFILE)
    assert json.loads(done.stdout.splitlines()[-1]) == {"status": "success"}


def test_a_file_is_uploaded(echo_homeport, blob_server, weights, tmp_path):
    """It is sent under its hash, then the model is made of it."""
    digest, data = weights
    with blob_server() as server:
        done = echo_homeport("create", "mine", "-q", "q4_0", "-f", str(tmp_path / "Modelfile"))
    assert done.returncode == 0, done.stderr
    (blob_path, sent), (_, body) = server.seen
    assert (blob_path, sent) == (f"/api/blobs/{digest}", data)
    assert json.loads(body) == {"model": "mine", "files": {"weights.gguf": digest}, "quantize": "q4_0"}
    assert "copying weights.gguf" in done.stderr
    assert "100% of 3.1 MB" in done.stderr


def test_a_file_that_the_server_has_is_not_sent(echo_homeport, blob_server, weights, tmp_path):
    """Its hash is enough."""
    digest, _ = weights
    with blob_server(known={f"/api/blobs/{digest}"}) as server:
        done = echo_homeport("create", "mine", "-f", str(tmp_path / "Modelfile"))
    assert done.returncode == 0
    assert [path for path, _ in server.seen] == ["/api/create"]
    assert "the server has weights.gguf already" in done.stderr


def test_a_file_that_is_refused_makes_no_model(echo_homeport, blob_server, weights, tmp_path):
    """What the server says is told, also where it says so before the file is there."""
    with blob_server(refusal=(413, b'{"error":"request body too large"}')) as server:
        done = echo_homeport("create", "mine", "-f", str(tmp_path / "Modelfile"))
    assert done.returncode == 1
    assert server.seen == []
    assert "Error: " in done.stderr


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (b'{"status":"writing manifest"}\n', "broke off the creation after 'writing manifest'"),
        (b'{"error":"template error: x"}\n', "Error: template error: x"),
        (b"", "broke off the creation after ''"),
    ],
)
def test_a_creation_that_does_not_end_well_fails(echo_homeport, blob_server, steps, said):
    """Only a last line of success is one."""
    with blob_server(steps=steps):
        done = echo_homeport("create", "mine", "-f", "-", stdin="FROM smollm2:135m")
    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FROM a\nSPEED 3", "(line 2): command must be one of"),
        ("SYSTEM a", "no FROM line"),
        ("FROM ./nowhere.gguf", "there is nothing at"),
        ("FROM a\nADAPTER x\nPARSER y", "(line 2): ADAPTER is not supported\n(line 3): PARSER is not"),
    ],
)
def test_a_wrong_modelfile_reaches_no_server(echo_homeport, text, said):
    """It is told before anything is asked, started or sent."""
    done = echo_homeport("create", "mine", "-f", "-", stdin=text)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_a_missing_modelfile_is_named(echo_homeport, tmp_path):
    """The error says which file was looked for, and how to get one."""
    done = echo_homeport("create", "mine", "-f", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "nowhere': No such file or directory" in done.stderr
    assert "homeport show MODEL --modelfile" in done.stderr


def test_a_folder_is_no_modelfile(echo_homeport, tmp_path):
    """A folder is named as what it is."""
    assert "Is a directory" in echo_homeport("create", "mine", "-f", str(tmp_path)).stderr


def test_files_and_a_model_do_not_mix(echo_homeport, weights, tmp_path):
    """Two sources of different kinds are a mistake."""
    (tmp_path / "Modelfile").write_text("FROM ./weights.gguf\nFROM smollm2")
    done = echo_homeport("create", "mine", "-f", str(tmp_path / "Modelfile"))
    assert "FROM names both files and the model 'smollm2'" in done.stderr


def test_a_deprecated_parameter_is_a_warning(echo_homeport, blob_server):
    """The model is made without it."""
    with blob_server() as server:
        done = echo_homeport("create", "mine", "-f", "-", stdin="FROM a\nPARAMETER mirostat 2")
    assert done.returncode == 0
    assert "Warning: (line 2): parameter mirostat is deprecated" in done.stderr
    assert json.loads(server.seen[0][1]) == {"model": "mine", "from": "a"}


@pytest.mark.model
def test_a_made_model_answers(homeport, starter_home, home):
    """The starter model under a name of one's own writes in the form that it is asked for."""
    shutil.copytree(starter_home / "models", home / "models")
    text = "FROM smollm2:135m\nSYSTEM Answer briefly.\nPARAMETER num_predict 200\nPARAMETER seed 7"
    made = homeport("create", "brief", "-f", "-", stdin=text)
    assert made.returncode == 0, made.stderr
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    done = homeport(
        "run", "brief", "--format", json.dumps({**schema, "additionalProperties": False}), "A person."
    )
    assert isinstance(json.loads(done.stdout)["age"], int), done.stderr
    assert homeport("models", "resolve", "brief", "--explain").returncode == 0
