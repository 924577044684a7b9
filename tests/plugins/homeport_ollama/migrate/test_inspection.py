import sys
from pathlib import PurePath

import pytest

from homeport import InvalidRequestError
from homeport.config.settings import Settings
from homeport_ollama.config import OllamaConfig
from homeport_ollama.migrate import variables
from homeport_ollama.migrate.addresses import Target, Targets
from homeport_ollama.migrate.file_kinds import FileKind, kind_of
from homeport_ollama.migrate.finding import State
from homeport_ollama.migrate.inspection import inspect
from homeport_ollama.migrate.scalar import GrammarError
from homeport_ollama.migrate.scalars import decoded, encoded, read_scalars
from homeport_ollama.migrate.tree import MOST_FILE_BYTES, TreeFile, tree_files
from homeport_ollama.store_config import OllamaStoreConfig

OUTER = Target.parse("http://127.0.0.1:11435")
TARGETS = Targets(OUTER)


def look_at(data, kind=FileKind.ENV, *, targets=TARGETS, sources=frozenset(), path="file"):
    """Inspect a file."""
    return inspect(TreeFile(path, kind, data), targets, sources)


def edited(data, kind=FileKind.ENV, **options):
    """Give a file as it would be."""
    pieces, last = [], 0
    for edit in look_at(data, kind, **options).edits:
        assert data[edit.start : edit.end].decode() == edit.old
        pieces += [data[last : edit.start], edit.new.encode()]
        last = edit.end
    return b"".join([*pieces, data[last:]])


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (FileKind.ENV, b"A=localhost:11434", b"A=127.0.0.1:11435"),
        (FileKind.ENV, b"A=http://me:pw@localhost:11434/x", b"A=http://me:pw@127.0.0.1:11435/x"),
        (FileKind.ENV, b"A=HTTP://LOCALHOST:11434", b"A=HTTP://127.0.0.1:11435"),
        (FileKind.ENV, b'A="open http://localhost:11434\nB=1', b'A="open http://127.0.0.1:11435\nB=1'),
        (FileKind.ENV, b"A=x # http://localhost:11434", None),
        (FileKind.ENV, b"A='x # http://localhost:11434'", b"A='x # http://127.0.0.1:11435'"),
        (FileKind.ENV, b"A=localhost:114345", None),
        (FileKind.ENV, b"A=my-ollama:11434", None),
        (
            FileKind.ENV,
            b"A=http://localhost:11434,http://127.0.0.1:11434",
            b"A=http://127.0.0.1:11435,http://127.0.0.1:11435",
        ),
        (FileKind.YAML, b"a: {b: 'http://localhost:11434', c: x}", b"a: {b: 'http://127.0.0.1:11435', c: x}"),
        (
            FileKind.YAML,
            b"a: http://localhost:11434 # http://localhost:11434",
            b"a: http://127.0.0.1:11435 # http://localhost:11434",
        ),
        (FileKind.YAML, b"a: | # http://localhost:11434\n  http://localhost:11434\n", None),
        (FileKind.YAML, b'a: "http://local\\\n  host:11434"', None),
        (FileKind.YAML, b"http://localhost:11434: key", None),
        (FileKind.JSON, b'{"http://localhost:11434": 1}', None),
        (FileKind.JSON, b'["http://localhost:1143\\u0034"]', None),
        (FileKind.TOML, b'"http://localhost:11434" = 1', None),
        (FileKind.TOML, b'a = ["http://localhost:11434"]\n', b'a = ["http://127.0.0.1:11435"]\n'),
        (
            FileKind.UNIT,
            b"[S]\nX=http://localhost:11434\n#Y=http://localhost:11434\n",
            b"[S]\nX=http://127.0.0.1:11435\n#Y=http://localhost:11434\n",
        ),
    ],
)
def test_values_change_and_nothing_else(kind, before, after):
    """Keys, comments and what cannot be edited for sure stay."""
    assert edited(before, kind) == (before if after is None else after)


def test_values_written_in_a_way_of_their_own_are_pointed_out():
    """What is not edited although it leads to Ollama is told."""
    (finding,) = look_at(b'["http://localhost:1143\\u0034", "ollama"]', FileKind.JSON).findings
    assert finding.state is State.ATTENTION
    assert "by hand" in finding.reason


def test_containers_are_not_sent_to_themselves():
    """A loopback address is no answer for a container; another one is."""
    data = b"URL=http://ollama:11434\n"
    (finding,) = look_at(data).findings
    assert "--to-container" in finding.reason
    inner = Targets(OUTER, Target.parse("homeport:11434"))
    assert edited(data, targets=inner) == b"URL=http://homeport:11434\n"
    assert edited(b"URL=http://homeport:11434\n", targets=inner) == b"URL=http://homeport:11434\n"
    assert edited(data, targets=Targets(Target.parse("http://port.lan:80"))) == b"URL=http://port.lan:80\n"


def test_other_machines_are_moved_only_when_named():
    """Port 11434 elsewhere is somebody's decision."""
    data = b"URL=http://gpu-box:11434/v1\nOTHER=http://gpu-box:9999\n"
    (finding,) = look_at(data).findings
    assert "--from" in finding.reason
    assert edited(data, sources=frozenset({"gpu-box:9999"})).endswith(b"OTHER=http://127.0.0.1:11435\n")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"URL=http://${HOST}:11434", "comes from a variable"),
        (b"OLLAMA_HOST=myhost", "has no port, so a client asks myhost:11434"),
        (b"OLLAMA_HOST=http://myhost", "has no port, so a client asks myhost:80"),
        (b"OLLAMA_HOST=http://127.0.0.1:18660", "--from 127.0.0.1:18660"),
        (b"OLLAMA_HOST=http://x:99999", "is no address"),
        (b"OLLAMA_NEW_THING=1", "does not know this variable"),
        (b"image=ollama/ollama:0.33.3", "left alone"),
    ],
)
def test_what_cannot_be_edited_says_why(data, reason):
    """Each with what to do."""
    (finding,) = look_at(data).findings
    assert finding.state is State.ATTENTION
    assert reason in finding.reason


def test_no_scheme_cannot_become_https():
    """A value without one would be asked in the clear."""
    targets = Targets(Target.parse("https://port.lan"))
    (finding,) = look_at(b"OLLAMA_HOST=localhost:11434", targets=targets).findings
    assert "cannot say https" in finding.reason
    assert edited(b"U=http://localhost:11434", targets=targets) == b"U=https://port.lan:443"


def test_large_files_and_links_are_told(tmp_path):
    """What is not looked into is no secret; what is no configuration is passed over."""
    (tmp_path / "huge.json").write_bytes(b'"ollama"' + b" " * MOST_FILE_BYTES)
    (tmp_path / "huge.sh").write_bytes(b"#ollama" + b" " * MOST_FILE_BYTES)
    (tmp_path / "image.png").write_bytes(b"ollama")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "x.json").write_bytes(b'"http://localhost:11434"')
    (tmp_path / "gone.json").symlink_to("nowhere")
    (tmp_path / "utf16.json").write_bytes('"http://localhost:11434"'.encode("utf-16") + b"11434")
    found = {file.path: file.obstacle for file in tree_files(tmp_path)}
    assert set(found) == {"huge.json", "utf16.json"}
    assert "are looked into" in found["huge.json"]
    assert "no text in UTF-8" in found["utf16.json"]


def test_what_ollamas_own_server_is_told_stays(contents):
    """Its bind address is no client's, in compose and in unit files."""
    for path, kind in (("docker-compose.yml", FileKind.YAML), ("systemd/ollama.service", FileKind.UNIT)):
        findings = look_at(contents[path], kind, path=path).findings
        assert any("Ollama's own server" in finding.reason for finding in findings)
    assert look_at(contents["systemd/ollama.service"], FileKind.UNIT, path="ollama.service").edits == ()
    (finding,) = look_at(b"OLLAMA_HOST=0.0.0.0:11434").findings
    assert "where a server listens" in finding.reason


@pytest.mark.parametrize("name", [*variables.WITHOUT_EFFECT, "CUDA_VISIBLE_DEVICES"])
def test_variables_without_effect_are_named(name):
    """Each with what to do about it."""
    (finding,) = look_at(f"{name}=1".encode()).findings
    assert finding.setting == name
    assert finding.reason.startswith("has no effect in homeport: ")


def test_variables_that_are_called_honoured_are():
    """The table names what settings of homeport and of this plugin read, and no other."""

    def read_by(cls):
        for field in cls.__attrs_attrs__:
            yield from field.metadata.get("env", ())
            if hasattr(field.type, "__attrs_attrs__"):
                yield from read_by(field.type)

    read = {name for cls in (Settings, OllamaConfig, OllamaStoreConfig) for name in read_by(cls)}
    assert {name for name in read if name.startswith("OLLAMA_")} <= variables.HONOURED
    assert not variables.HONOURED & set(variables.WITHOUT_EFFECT)


def test_secrets_in_addresses_are_not_shown():
    """A finding shows the place, not the password."""
    (finding,) = look_at(b"URL=http://me:secret@localhost:11434").findings
    assert "secret" not in finding.value + finding.reason
    assert finding.reason == "becomes http://***@127.0.0.1:11435"


def test_models_that_a_project_asks_for_are_noted():
    """By their variables, in any kind of file."""
    assert look_at(b"OLLAMA_MODEL=llama3.2\nLLM_MODEL=x:1b\nMODEL_DIR=/y\n").models == ("llama3.2", "x:1b")


def test_code_is_read_and_never_run(tmp_path):
    """Imports are fine, addresses need a hand, documentation is neither."""
    code = b'"""http://localhost:11434"""\nimport ollama\nraise SystemExit("http://localhost:11434")\n'
    found = look_at(code, FileKind.PYTHON).findings
    assert [(finding.line, finding.state) for finding in found] == [(2, State.READY), (3, State.ATTENTION)]
    (finding,) = look_at(b"def ollama(:\n", FileKind.PYTHON).findings
    assert "cannot be read as Python" in finding.reason


def test_a_host_that_is_homeport_already_is_ready():
    """Its port is told, whatever it is."""
    (finding,) = look_at(b"OLLAMA_HOST=http://127.0.0.1:11435").findings
    assert (finding.state, finding.reason) == (State.READY, "leads to homeport already")


@pytest.mark.parametrize("code", [b'f"http://{h}:11434"', b'f"http://{h}:{11434}/api"', b'"http://{}:11434"'])
def test_addresses_with_variables_in_code_need_a_hand(code):
    """An f-string, or a form that is filled in later, leads to Ollama too."""
    (finding,) = look_at(b"h = 'x'\nURL = " + code, FileKind.PYTHON).findings
    assert (finding.line, finding.state) == (2, State.ATTENTION)
    assert "comes from a variable" in finding.reason


def test_calls_of_the_program_in_scripts_need_a_hand():
    """Each says what homeport has for it; comments call nothing."""
    found = look_at(
        b"#!/bin/sh\n# ollama pull a\nollama pull phi4:mini\nollama run -v x 'hi'\nmyollama pull y\n",
        FileKind.TEXT,
    )
    assert [finding.line for finding in found.findings] == [3, 4]
    assert "homeport pull phi4:mini" in found.findings[0].reason
    assert found.models == ("phi4:mini", "x")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (FileKind.JSON, b'{"a": "ollama"'),
        (FileKind.JSON, b'{"a" "ollama"}'),
        (FileKind.JSON, b'["a", "\x01ollama"]'),
        (FileKind.JSON, b"[" * 100_000),
        (FileKind.JSON, b'{"a": 01x}'),
        (FileKind.YAML, b"a: [ollama"),
        (FileKind.YAML, b"[" * 5_000),
        (FileKind.YAML, b"a: &a [*b]"),
        (FileKind.TOML, b"a = ollama"),
        (FileKind.TOML, b'a = "\xff"\n b ='),
    ],
)
def test_broken_files_are_told_and_left_alone(kind, data):
    """None stops a report."""
    inspection = look_at(data, kind)
    assert inspection.edits == ()
    assert [finding.state for finding in inspection.findings] == [State.ATTENTION]


@pytest.mark.parametrize(
    "data", [b"[" * 50_000 + b"]" * 50_000, b'{"a": {}, "b": [], "c": [1, -2.5e3, null, true]}']
)
def test_json_may_be_as_deep_as_it_likes(data):
    """Depth costs no recursion."""
    read_scalars(FileKind.JSON, decoded(data))


def test_yaml_that_names_itself_ends():
    """An anchor inside itself, and a tower of aliases, are each read once."""
    assert [scalar.value for scalar in read_scalars(FileKind.YAML, "a: &a [x, *a]\n")] == ["x"]
    tower = "a: &a [x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12)
    )
    assert len(read_scalars(FileKind.YAML, tower)) == 1


@pytest.mark.parametrize(
    "data", [bytes(range(256)), b"\xef\xbb\xbf\xed\xa0\x80\xff", "é\ud7ff\U0010ffff".encode()]
)
def test_any_bytes_survive(data):
    """Decoding loses nothing, whatever the encoding is."""
    assert encoded(decoded(data)) == data


def test_a_grammar_says_what_is_missing(monkeypatch):
    """Without PyYAML, files of YAML are pointed out with how to install it."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(GrammarError, match=r"homeport\[migrate\]"):
        read_scalars(FileKind.YAML, "a: b")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (".env", FileKind.ENV),
        (".env.local", FileKind.ENV),
        ("prod.env", FileKind.ENV),
        ("compose.yaml", FileKind.YAML),
        ("app.service.d/x.conf", FileKind.UNIT),
        ("x.conf", FileKind.TEXT),
        ("Dockerfile.dev", FileKind.TEXT),
        ("package-lock.json", None),
        ("photo.png", None),
    ],
)
def test_kinds_go_by_names(name, kind):
    """The grammar is that of the name."""
    assert kind_of(PurePath(name)) is kind


@pytest.mark.parametrize(
    "text",
    ["", "http://", "frob", "port.lan", "ftp://x", "http://x/path", "http://u:p@x", "http://a b", "x:99999"],
)
def test_addresses_that_are_none_are_refused(text):
    """Nothing but scheme, host and port may be put into files."""
    with pytest.raises(InvalidRequestError):
        Target.parse(text)
