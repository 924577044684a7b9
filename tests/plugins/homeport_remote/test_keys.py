import pytest
from loguru import logger

from homeport import BackendRefusedError
from homeport_remote.config import UpstreamConfig
from homeport_remote.keys import KeySource


def source(**place):
    return KeySource("remote-lab", UpstreamConfig(url="http://h", **place))


@pytest.fixture
def key_file(tmp_path):
    file = tmp_path / "key"
    file.write_text("sk-from-file\n")
    file.chmod(0o600)
    return file


async def test_key_is_read_anew_each_time(key_file, monkeypatch):
    """A key can be changed without a restart."""
    monkeypatch.setenv("LAB_KEY", "sk-one")
    from_variable, from_file = source(key_env="LAB_KEY"), source(key_file=key_file)
    assert await from_variable.headers() == {"Authorization": "Bearer sk-one"}
    assert await from_file.headers() == {"Authorization": "Bearer sk-from-file"}
    monkeypatch.setenv("LAB_KEY", "sk-two")
    key_file.write_text("sk-new")
    assert await from_variable.headers() == {"Authorization": "Bearer sk-two"}
    assert await from_file.headers() == {"Authorization": "Bearer sk-new"}
    assert await source().headers() == {}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
async def test_file_that_others_can_read_is_refused_with_the_command(key_file, mode):
    """Whoever could read it has the key."""
    key_file.chmod(mode)
    with pytest.raises(BackendRefusedError, match=f"chmod 600 {key_file}"):
        await source(key_file=key_file).headers()


@pytest.mark.parametrize("text", ["", "  \n", "a\nb", "a\x00b", "schlüssel"])
async def test_what_is_no_key_is_refused_without_being_shown(key_file, text):
    """A line end in a key would forge headers."""
    key_file.write_text(text)
    with pytest.raises(BackendRefusedError) as caught:
        await source(key_file=key_file).headers()
    assert not text.strip() or text not in str(caught.value)


async def test_missing_key_is_told_by_its_place(tmp_path, monkeypatch):
    """The message names the variable or the file."""
    monkeypatch.delenv("LAB_KEY", raising=False)
    with pytest.raises(BackendRefusedError, match="LAB_KEY"):
        await source(key_env="LAB_KEY").headers()
    with pytest.raises(BackendRefusedError, match="key file"):
        await source(key_file=tmp_path / "gone").headers()


async def test_key_reaches_the_server_and_no_log(other, start, monkeypatch):
    """It goes along with every request, and is written nowhere."""
    monkeypatch.setenv("LAB_KEY", "sk-very-secret")
    lines = []
    sink = logger.add(lines.append, level=0)
    try:
        backend = await start(other, key_env="LAB_KEY")
    finally:
        logger.remove(sink)
    assert {asked.headers["authorization"] for asked in other.asked} == {"bearer sk-very-secret"}
    assert "sk-very-secret" not in "".join(map(str, lines)) + str(backend.stats())
