import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.cli.modelfile import ModelfileError, decode_modelfile, instructions
from homeport.server.ollama.modelfile import quoted

BAD_COMMAND = (
    'command must be one of "from", "license", "template", "system", "adapter", "draft", "renderer", '
    '"parser", "parameter", "message", or "requires"'
)
SCALARS = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(st.one_of(st.sampled_from('"\n\r \t#a'), SCALARS), max_size=40)


def read(text):
    return [(each.command, each.key, each.value) for each in instructions(text)]


def test_reads_every_command():
    """Commands come in any case, parameters and messages have a key."""
    text = (
        "# a comment\nFrom smollm2:135m\n\n  parameter  temperature 0.5\nSYSTEM Be brief. # no comment\n"
        "MESSAGE User hello there\nLICENSE MIT\nTEMPLATE {{ .Prompt }}\nREQUIRES 0.14.0"
    )
    assert read(text) == [
        ("from", "", "smollm2:135m"),
        ("parameter", "temperature", "0.5"),
        ("system", "", "Be brief. # no comment"),
        ("message", "user", "hello there"),
        ("license", "", "MIT"),
        ("template", "", "{{ .Prompt }}"),
        ("requires", "", "0.14.0"),
    ]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain text  ", "plain text"),
        ('"in quotes"', "in quotes"),
        ('" kept blanks "', " kept blanks "),
        ('"""\nfirst\n  second\n"""', "\nfirst\n  second\n"),
        ('"""say "hello" """', 'say "hello" '),
        ('"say "hello" twice"', 'say "hello" twice'),
        ('"two\nlines"', "two\nlines"),
        ('"""a """ b"""', 'a """ b'),
        ("'single'", "'single'"),
        (r"a \n b", r"a \n b"),
        ('""', ""),
        ('""""""', ""),
        ("", ""),
        ("\tafter a tab", "after a tab"),
        ('"""ends on""" \t', "ends on"),
    ],
)
def test_reads_values(written, value):
    """Nothing is escaped, and a quoted value ends with the line that its quote ends."""
    assert read(f"FROM a\nSYSTEM {written}\nLICENSE b") == [
        ("from", "", "a"),
        ("system", "", value),
        ("license", "", "b"),
    ]


def test_lines_may_end_as_elsewhere():
    """Files of Windows are read too."""
    assert read('FROM a\r\nSYSTEM """x\r\ny"""\r\nLICENSE b\r\n')[1:] == [
        ("system", "", "x\r\ny"),
        ("license", "", "b"),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no FROM line"),
        ("SYSTEM alone", "no FROM line"),
        ("FROM a\nPROMPT b", rf"(line 2): {BAD_COMMAND}"),
        ("FROM a\n\nbad", rf"(line 3): {BAD_COMMAND}"),
        ('FROM a\nSYSTEM """open', "unexpected EOF"),
        ('FROM a\nSYSTEM "open\nmore\n', "unexpected EOF"),
        ('FROM a\nSYSTEM """"', "unexpected EOF"),
        ("FROM a\nSYSTEM", "unexpected EOF"),
        ("FROM\nSYSTEM a", "unexpected EOF"),
        ("FROM a\nPARAMETER stop", "unexpected EOF"),
        ("FROM a\nPARAMETER\nSYSTEM b", "unexpected EOF"),
        (
            "FROM a\nMESSAGE robot hi",
            '(line 2): message role must be one of "system", "user", or "assistant"',
        ),
    ],
)
def test_says_what_is_wrong(text, complaint):
    """The texts are Ollama's, with the line where one is at fault."""
    with pytest.raises(ModelfileError) as caught:
        instructions(text)
    assert caught.value.message == complaint


def test_an_open_quote_is_found():
    """The hint names the line that opened it."""
    with pytest.raises(ModelfileError) as caught:
        instructions('FROM a\n\nSYSTEM """b\nc\nd')
    assert caught.value.hint == "The quote that line 3 opens is not closed"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_decodes_what_editors_write(encoding):
    """UTF-8 needs no byte order mark, UTF-16 has one."""
    assert decode_modelfile("FROM ä".encode(encoding)) == "FROM ä"


def test_decodes_either_order_of_utf_16():
    """The mark tells the order of the bytes."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        assert decode_modelfile(mark + "FROM ä".encode(encoding)) == "FROM ä"


@pytest.mark.parametrize("data", [b"FROM \xff\xfe", b"\xff\xfeF", b"\xef\xbb\xbf\xc3"])
def test_refuses_bytes_that_are_no_text(data):
    """Half a character is an error that names its place."""
    with pytest.raises(ModelfileError, match="at byte"):
        decode_modelfile(data)


def holds(value):
    """Whether some quotes can hold a value: not where one line ends with one mark and another with three."""
    ends = [line.rstrip() for line in re.split(r"[\r\n]", value)[:-1]]
    return not any(line.endswith('"') for line in ends) or not any(line.endswith('"""') for line in ends)


@settings(deadline=None)
@given(value=TEXTS.filter(holds))
def test_what_the_server_writes_is_read_back(value):
    """A value in the quotes that ``show`` gives it comes back as it was, whatever follows it."""
    assert read(f"FROM a\nSYSTEM {quoted(value)}\nLICENSE b")[1:] == [
        ("system", "", value),
        ("license", "", "b"),
    ]


@settings(deadline=None)
@given(text=st.text(st.one_of(st.sampled_from('FROMSYSTEMmessage "\n\r#\t'), SCALARS), max_size=80))
def test_any_text_is_read_or_refused(text):
    """No text leads to another error, nor to none."""
    try:
        found = instructions(text)
    except ModelfileError:
        return
    assert any(each.command == "from" for each in found)


def test_a_long_value_is_read_in_one_go():
    """A quoted licence of 100,000 lines takes no square of its length."""
    text = "line\n" * 100_000
    assert read(f'FROM a\nLICENSE """{text}"""')[1][2] == text
