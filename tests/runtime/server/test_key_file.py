"""The file of API keys."""

import hashlib
import json
import subprocess
import sys

import pytest

from homeport import ConfigError
from homeport.server import key_file
from homeport.server.key_file import FILE_NAME, KeyFile
from homeport.server.scopes import Scope

ROW = """{"version": 1, "keys": [{"name": "a", "sha256": "DIGEST", "scopes": ["SCOPE"],
"created_at": "2026-01-01T00:00:00+00:00", "hint": "abcd"}]}"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / FILE_NAME


def test_a_key_is_kept_as_its_hash_alone(path):
    """Whoever reads the file learns no key, only which ones there are."""
    new = KeyFile(path).create("laptop", {Scope.INFER})
    assert new.secret.startswith("hp-")
    assert len(new.secret) == 46
    assert new.secret not in path.read_text()
    (row,) = json.loads(path.read_text())["keys"]
    assert row["sha256"] == hashlib.sha256(new.secret.encode()).hexdigest()
    assert row["hint"] == new.secret[-4:]
    assert (row["name"], row["scopes"]) == ("laptop", ["infer"])


def test_a_key_is_never_shown_by_accident(path):
    """The secret and its hash are no part of what a record looks like in a log."""
    new = KeyFile(path).create("laptop", {Scope.INFER})
    assert new.secret not in repr(new)
    assert new.stored.sha256 not in repr(new)


def test_the_file_is_for_its_owner_alone(path):
    """Nobody else on the machine may read it, or wait for its lock."""
    KeyFile(path).create("laptop", {Scope.INFER})
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}


def test_keys_come_and_go_by_name(path):
    """They are listed oldest first, and a revoked one is gone."""
    file = KeyFile(path)
    for name in ("b", "a", "c"):
        file.create(name, {Scope.ADMIN, Scope.INFER})
    assert file.revoke("a") == 2
    assert [key.name for key in KeyFile(path).read()] == ["b", "c"]
    assert file.read()[0].scopes == (Scope.INFER, Scope.ADMIN)


def test_a_name_is_taken_once(path):
    """Two keys of one name could not be told apart."""
    KeyFile(path).create("laptop", {Scope.INFER})
    with pytest.raises(ConfigError, match="there is a key 'laptop' already"):
        KeyFile(path).create("laptop", {Scope.ADMIN})
    assert len(KeyFile(path).read()) == 1


@pytest.mark.parametrize("name", ["", "-a", "a b", "../x", "a/b", "\u202ea", "a\n", "x" * 65])
def test_an_odd_name_is_refused(path, name):
    """A name fits into a column, a file name and a shell."""
    with pytest.raises(ConfigError, match="cannot be the name of a key"):
        KeyFile(path).create(name, {Scope.INFER})


def test_what_is_not_there_cannot_be_revoked(path):
    """The message says where to look."""
    with pytest.raises(ConfigError, match="there is no key 'x'"):
        KeyFile(path).revoke("x")


def test_keys_are_bounded(path, monkeypatch):
    """Each one costs time on each request."""
    monkeypatch.setattr(key_file, "MAX_KEYS", 2)
    KeyFile(path).create("a", {Scope.INFER})
    KeyFile(path).create("b", {Scope.INFER})
    with pytest.raises(ConfigError, match="there are 2 keys"):
        KeyFile(path).create("c", {Scope.INFER})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        '{"version": 99, "keys": []}',
        '{"version": 1, "keys": [{"name": "a"}]}',
        '{"version": 1, "keys": [], "more": 1}',
        ROW.replace("DIGEST", "xyz").replace("SCOPE", "infer"),
        ROW.replace("DIGEST", "0" * 64).replace("SCOPE", "public"),
    ],
)
def test_a_damaged_file_is_never_taken_for_an_empty_one(path, text):
    """Reading and writing say what is wrong, and leave it as it is."""
    path.parent.mkdir()
    path.write_text(text)
    for use in (KeyFile(path).read, lambda: KeyFile(path).create("a", {Scope.INFER})):
        with pytest.raises(ConfigError, match="cannot be used"):
            use()
    assert path.read_text() == text


def test_a_link_is_no_file_of_keys(path, tmp_path):
    """What somebody else could swap is not followed."""
    KeyFile(tmp_path / "other.json").create("a", {Scope.INFER})
    path.parent.mkdir()
    path.symlink_to(tmp_path / "other.json")
    with pytest.raises(ConfigError, match="cannot be used"):
        KeyFile(path).read()


CREATES_FIVE = """
import sys
from pathlib import Path
from homeport.server.key_file import KeyFile
from homeport.server.scopes import Scope
for number in range(5):
    KeyFile(Path(sys.argv[1])).create(f"{sys.argv[2]}{number}", {Scope.INFER})
"""


def test_two_processes_lose_no_key(path):
    """Writers wait for each other."""
    writers = [subprocess.Popen([sys.executable, "-c", CREATES_FIVE, str(path), prefix]) for prefix in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(KeyFile(path).read()) == 10
