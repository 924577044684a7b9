import json
from datetime import UTC, datetime, timedelta

from homeport.cli.answers import RunningModel
from homeport.cli.ps import _more, _row

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def running(row=_row, **fields):
    wire = {
        "name": "smollm2:135m",
        "digest": "ab" * 32,
        "size": 300_000_000,
        "context_length": 4096,
        "expires_at": (NOW + timedelta(minutes=4, seconds=30)).isoformat(),
    }
    model = RunningModel.from_wire({**wire, **fields})
    return row(model, NOW) if row is _row else row(model)


def test_list_prints_ollamas_columns(echo_homeport, server):
    """Name, twelve digits, size and age stand below their headers."""
    header, row, *_ = echo_homeport("list").stdout.splitlines()
    assert header.split() == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert row.split()[:4] == ["echo:latest", "ecececececec", "0", "B"]


def test_list_takes_a_prefix(echo_homeport, server):
    """Only names that begin with it are listed, and ls is list."""
    assert len(echo_homeport("ls", "ECHO").stdout.splitlines()) == 2
    assert len(echo_homeport("ls", "smol").stdout.splitlines()) == 1


def test_json_is_what_the_server_said(echo_homeport, server):
    """A program gets full digests and exact sizes."""
    (model,) = json.loads(echo_homeport("list", "--json", "echo").stdout)["models"]
    assert (model["name"], model["digest"]) == ("echo:latest", "ec" * 32)
    assert json.loads(echo_homeport("ps", "--json").stdout) == {"models": []}
    shown = json.loads(echo_homeport("show", "echo", "--json").stdout)
    assert shown["capabilities"] == ["completion", "embedding"]


def test_show_describes_a_model(echo_homeport, server):
    """What the server knows is laid out."""
    done = echo_homeport("show", "echo")
    assert "architecture        echo" in done.stdout


def test_an_unknown_model_exits_1_with_the_servers_words(echo_homeport, server):
    """Every verb that names a model fails alike."""
    for verb in ("show", "rm", "stop"):
        done = echo_homeport(verb, "nobody")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("Error: model 'nobody")


def test_a_model_that_nobody_has_cannot_be_pulled(echo_homeport, server):
    """A failed pull exits 1 and says which names there are; as JSON its steps are lines."""
    done = echo_homeport("pull", "nobody")
    assert done.returncode == 1
    assert done.stderr.splitlines()[:2] == [
        "pulling manifest",
        "Error: pull model manifest: file does not exist",
    ]
    done = echo_homeport("pull", "nobody", "--json")
    assert json.loads(done.stdout.splitlines()[0]) == {"status": "pulling manifest"}


def test_ps_words():
    """Time left, for ever and already leaving are told apart."""
    assert running() == (
        "smollm2:135m", "abababababab", "300 MB", "100% CPU", "4096", "4 minutes from now",
    )  # fmt: skip
    assert running(expires_at="2126-01-01T00:00:00+00:00")[-1] == "Forever"
    assert running(expires_at="2026-11-21T11:59:59+00:00")[-1] == "Stopping..."


def test_ps_tells_an_accelerators_share():
    """A server that uses one, such as Ollama, is shown as Ollama shows itself."""
    assert running(size_vram=300_000_000)[3] == "100% GPU"
    assert running(size_vram=75_000_000)[3] == "75%/25% CPU/GPU"


def test_ps_shows_no_figures_that_a_server_does_not_tell():
    """A real Ollama tells neither what a model was granted nor its slots."""
    assert running(_more, size_predicted=1_300_000_000, threads=2, slots=32, in_use=3) == (
        "1.3 GB", "2", "3/32",
    )  # fmt: skip
    assert running(_more) == ("-", "-", "-")


def test_ps_prints_ollamas_columns(echo_homeport, server):
    """Scripts read six columns; more are there for who asks."""
    assert echo_homeport("ps").stdout == "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL\n"
    assert echo_homeport("ps", "-v").stdout.split()[6:] == ["UP", "TO", "THREADS", "BUSY"]
    assert echo_homeport("ps", "smol").returncode == 0


def test_show_takes_one_part(echo_homeport, server):
    """Two parts at once are a mistake, as they are for Ollama."""
    done = echo_homeport("show", "echo", "--license", "--system")
    assert done.returncode == 2
    assert "only one of --license, --modelfile, --parameters, --system, --template" in done.stderr
    assert "FROM echo:latest" in echo_homeport("show", "echo", "--modelfile").stdout


def test_what_needs_an_account_is_refused(echo_homeport):
    """Verbs of Ollama that ask for its service exit 1 and say so, whatever follows them."""
    for verb in ("push", "signin", "login", "signout", "logout", "launch"):
        done = echo_homeport(verb, "x", "--insecure")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"Error: {verb} is not supported\n")


def test_without_a_server_nothing_is_in_memory(echo_homeport, free_port):
    """ps starts no server to say so, and stop has nothing to stop."""
    done = echo_homeport("ps")
    assert (done.returncode, done.stderr) == (0, f"No server runs at http://127.0.0.1:{free_port}.\n")
    assert echo_homeport("stop", "echo").returncode == 1


def test_the_key_is_sent(serving, echo_homeport):
    """A server with a key answers a client that has it, and tells the other what to set."""
    with serving("serve", HOMEPORT_API_KEY="k-1"):
        assert echo_homeport("list", HOMEPORT_API_KEY="k-1").returncode == 0
        assert echo_homeport("list", OLLAMA_API_KEY="k-1").returncode == 0
        done = echo_homeport("list")
    assert done.returncode == 1
    assert done.stderr == "Error: unauthorized\nSet HOMEPORT_API_KEY to the server's key\n"
