import stat

import pytest

from homeport.cli.line_history import LineHistory, history_of


@pytest.fixture
def path(tmp_path):
    """Where the history is kept."""
    return tmp_path / "state" / "history"


def test_lines_are_on_disk_as_soon_as_they_are_typed(path):
    """A talk that is killed loses nothing, and nobody else can read it."""
    history = LineHistory(path)
    for line in ("first", "", "second\nline"):
        history.add(line)
    assert path.read_text() == "first\nsecond line\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_kept_where_that_is_not_wanted(path):
    """Turned off, lines leave no trace; earlier ones stay."""
    history = LineHistory(path)
    history.add("first")
    history.is_kept = False
    history.add("secret")
    assert path.read_text() == "first\n"
    assert history._earlier() == []


def test_a_long_history_is_shortened(path):
    """The newest thousand lines are recalled, and the file does not grow for ever."""
    path.parent.mkdir()
    path.write_text("".join(f"{number}\n" for number in range(3000)))
    assert LineHistory(path)._earlier() == [str(number) for number in range(2000, 3000)]
    assert len(path.read_text().splitlines()) == 1000
    assert [each.name for each in path.parent.iterdir()] == ["history"]


@pytest.mark.parametrize("content", [b"\xff\xfe broken\n", b"x" * (5 * 1024**2)])
def test_a_damaged_history_does_no_harm(path, content):
    """What is no text, or too much of it, is passed over."""
    path.parent.mkdir()
    path.write_bytes(content)
    LineHistory(path).open()


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path):
    """A talk goes on without a file."""
    (tmp_path / "state").write_text("in the way")
    history = LineHistory(tmp_path / "state" / "history")
    history.open()
    history.add("line")


@pytest.mark.parametrize(("text", "is_kept"), [("", True), ("0", True), ("1", False), ("yes", False)])
def test_a_variable_of_ollama_turns_it_off(tmp_path, monkeypatch, text, is_kept):
    """OLLAMA_NOHISTORY is heeded."""
    monkeypatch.setenv("OLLAMA_NOHISTORY", text)
    assert history_of(tmp_path).is_kept is is_kept
