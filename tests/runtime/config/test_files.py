import os
from itertools import pairwise
from pathlib import Path

import pytest

from homeport import ConfigError
from homeport.config.files import MOST_DEPTH, MOST_FILE_BYTES, MOST_FILES
from homeport.config.loading import load_settings


@pytest.fixture
def write(tmp_path):
    """Write files below one folder and give the path of the first."""

    def to_files(**texts) -> Path:
        for name, text in texts.items():
            path = tmp_path / f"{name.replace('__', '/')}.toml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return tmp_path / f"{next(iter(texts))}.toml"

    return to_files


def load(file):
    return load_settings(file=file, environ={})


def fault(file):
    with pytest.raises(ConfigError) as caught:
        load(file)
    return str(caught.value)


def test_a_file_wins_over_those_that_it_includes(write):
    """Includes are read first, in the order of their names; each later one wins, the including file last."""
    loaded = load(
        write(
            main='include = ["conf.d/*.toml"]\n[models]\nslots = 1\n',
            conf_d__x="",
            **{"conf.d__10": "[models]\nslots = 2\nthreads = 2\n"},
            **{"conf.d__20": "[models]\nthreads = 3\nmax_stall_ms = 3\n"},
        )
    )
    models = loaded.settings.models
    assert (models.slots, models.threads, models.max_stall_ms) == (1, 3, 3)
    assert [given.origin for given in loaded.assignments["models.threads"]] == [
        "conf.d/10.toml line 3",
        "conf.d/20.toml line 2",
    ]
    assert [path.name for path in loaded.files] == ["main.toml", "10.toml", "20.toml"]


def test_tables_of_several_files_grow_together(write):
    """One file may say the models of a route, another its fallbacks."""
    loaded = load(
        write(
            main='include = ["a.toml"]\n[routes.chat]\nfallbacks = ["c"]\n',
            a='[routes.chat]\nmodels = ["a"]\n[tiers]\nfast = ["t"]\n',
        )
    )
    chat = loaded.settings.routes["chat"]
    assert (chat.models, chat.fallbacks) == (("a",), ("c",))
    assert loaded.settings.tiers == {"fast": ("t",)}


def test_includes_are_found_from_the_including_file(write):
    """A file in a folder names its neighbours without that folder."""
    file = write(
        main='include = ["sub/a.toml"]\n', sub__a='include = ["b.toml"]\n', sub__b="[models]\nslots = 7\n"
    )
    loaded = load(file)
    assert loaded.settings.models.slots == 7
    assert loaded.assignments["models.slots"][0].origin == "sub/b.toml line 2"


def test_a_fault_names_the_included_file(write):
    """A wrong value in an included file is found by file and line."""
    file = write(main='include = ["a.toml"]', a="[models]\n\nslots = -1\n")
    assert fault(file) == "$.models.slots: must be at least 0, got -1 (a.toml line 3)"


@pytest.mark.parametrize(
    ("include", "message"),
    [
        ('["absent.toml"]', "$.include: 'absent.toml' is no file (main.toml line 2)"),
        ('["main.toml"]', "'main.toml' includes itself: main.toml -> main.toml (main.toml line 2)"),
        ('["."]', "$.include: '.' is no file"),
        ('["/**/*.toml"]', "searches whole trees"),
        ('["a\\u0000b"]', "is no file"),
        ('["a\\u0000*"]', "main.toml line 2"),
        ('"a.toml"', "$.include: expected list of str, got 'a.toml' (main.toml line 2)"),
        ("[1]", "expected list of str, got [1]"),
    ],
)
def test_a_wrong_include_is_named_with_its_place(write, include, message):
    """What cannot be included is a fault of the line that asks for it."""
    file = write(main=f"# first\ninclude = {include}\n")
    if "u0000*" in include:
        assert load(file).settings or fault(file)
    else:
        assert message in fault(file)


def test_a_circle_of_includes_is_named_whole(write):
    """The chain that leads back is told."""
    told = fault(write(main='include = ["a.toml"]', a='include = ["main.toml"]'))
    assert "main.toml -> a.toml -> main.toml (a.toml line 1)" in told


def test_an_empty_pattern_includes_nothing(write):
    """A folder without files is no fault, so that it may be filled later."""
    assert load(write(main='include = ["none.d/*.toml"]')).settings


def test_depth_and_number_of_files_are_bounded(write):
    """A chain or a heap of files ends in an error, not in a long read."""
    names = [f"f{number}" for number in range(MOST_DEPTH + 2)]
    texts = {name: f'include = ["{after}.toml"]' for name, after in pairwise(names)}
    assert "more than 8 includes within includes (f8.toml line 1)" in fault(write(**texts, f9=""))
    heap = {f"heap__{number:03}": "" for number in range(MOST_FILES)}
    assert "more than 64 files in all (main.toml line 1)" in fault(
        write(main='include = ["heap/*.toml"]', **heap)
    )


def test_a_huge_file_is_refused(write, tmp_path):
    """A file of a megabyte and more holds no settings."""
    file = write(main="")
    file.write_bytes(b"#" * (MOST_FILE_BYTES + 1))
    assert "has more than 1048576 bytes" in fault(file)


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 100_000,
        "x = " + "9" * 5000,
        "x = '\udcff'",
        "a = 1\na = 2",
        "a" + ".a" * 300_000 + " = 1",
        "x = {a" + ".a" * 99 + " = 1}",
    ],
)
def test_a_hostile_file_is_one_line_of_error(tmp_path, text):
    """Nesting, giant numbers and bad bytes are told as what they are."""
    file = tmp_path / "homeport.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "homeport.toml" in fault(file)
    assert "\n" not in fault(file)


def test_lines_are_counted_as_editors_do(write, tmp_path):
    """Carriage returns count no lines of their own."""
    file = tmp_path / "homeport.toml"
    file.write_bytes(b"[models]\r\n\r\nslots = -1\r\n")
    assert fault(file).endswith("(homeport.toml line 3)")


def test_a_pipe_is_not_included(write, tmp_path):
    """Including waits for nobody."""
    os.mkfifo(tmp_path / "pipe.toml")
    assert "'pipe.toml' is no file" in fault(write(main='include = ["pipe.toml"]'))
    assert load(write(main='include = ["*pe.toml"]')).settings
