import tomllib

import pytest

from homeport.config.toml_lines import key_lines

FILE = '''\
top = 1
[routes."llama3.2:3b"]   # a table with dots in its name
models = [
  "a",  # ] is no end here
  "b]",
]
weights = [1, 2]
text = """
port = 3
[server]
"""
"quoted \\u0041" = 'x = "y"'
[server]
limits = { rate = 5, inner = { deep = [ {a = 1}, {a = 2} ] } }
a.b.c = 2020-01-01 10:00:00
[[rules]]
name = "one"
[rules.when]
tag = "x"
[[rules]]
name = "two"
[[rules.parts]]
size = 1
[rules.when]
tag = "y"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("routes", "llama3.2:3b"), 2),
        (("routes", "llama3.2:3b", "models"), 3),
        (("routes", "llama3.2:3b", "models", 0), 4),
        (("routes", "llama3.2:3b", "models", 1), 5),
        (("routes", "llama3.2:3b", "weights", 1), 7),
        (("routes", "llama3.2:3b", "text"), 8),
        (("routes", "llama3.2:3b", "quoted A"), 12),
        (("server",), 13),
        (("server", "limits", "rate"), 14),
        (("server", "limits", "inner", "deep", 1, "a"), 14),
        (("server", "a", "b", "c"), 15),
        (("rules", 0, "name"), 17),
        (("rules", 0, "when", "tag"), 19),
        (("rules", 1, "name"), 21),
        (("rules", 1, "parts", 0, "size"), 23),
        (("rules", 1, "when", "tag"), 25),
    ],
)
def test_every_key_has_its_line(path, line):
    """Quoted names, inline tables, arrays of tables and texts that look like keys are told apart."""
    tomllib.loads(FILE)
    assert key_lines(FILE)[path] == line


def test_texts_do_not_make_keys():
    """What stands in a text of several lines is no setting."""
    lines = key_lines(FILE)
    assert ("routes", "llama3.2:3b", "port") not in lines
    assert ("port",) not in lines


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment",
        'a = """"quoted""""\nb = 1',
        "a = ''''quoted''''\nb = 1",
        'a = "\\"]"\nb = 1',
        "a = [\n\n]\nb = 1",
        "a = {}\nb = 1",
        'a = """\\\n  \\"""x"""\nb = 1',
        "a = [[1, 2], [3,\n 4],]\nb = 1",
        '"" = 1\nb = 1',
    ],
)
def test_what_is_hard_to_read_does_not_hide_what_follows(text):
    """The key after odd values is found on its own line."""
    lines = key_lines(text)
    expected = tomllib.loads(text)
    assert {path[0] for path in lines} == set(expected)
    if "b" in expected:
        assert lines["b",] == text.count("\n") + 1
