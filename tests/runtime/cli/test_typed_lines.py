import pytest

from homeport.cli.typed_lines import LineReader, TypedCommand, TypedMessage


def fed(*lines):
    reader = LineReader()
    return [reader.feed(line) for line in lines]


def test_a_line_is_a_message():
    """Blanks around a message do not count, and an empty line asks nothing."""
    assert fed("  hello there ", "   ") == [TypedMessage("hello there"), None]


def test_a_slash_begins_a_command():
    """A command has its words apart."""
    (command,) = fed("/set system Be  brief")
    assert command == TypedCommand("/set", ("system", "Be", "brief"))


def test_three_quotes_hold_a_text_of_a_command_together():
    """Its lines are one word, and a command without a text in quotes is not touched."""
    assert fed('/set system """Be', "  very", 'brief"""', "/bye") == [
        None,
        None,
        TypedCommand("/set", ("system", "Be\n  very\nbrief")),
        TypedCommand("/bye"),
    ]
    assert fed('/set system """Be brief"""') == [TypedCommand("/set", ("system", "Be brief"))]


@pytest.mark.parametrize(
    "lines",
    [
        ('"""first', "  second", 'third"""'),
        ('"""', "first", "  second", "third", '"""'),
    ],
)
def test_three_quotes_hold_several_lines_together(lines):
    """Lines between the quotes are one message, their indentation kept."""
    *open_lines, last = fed(*lines)
    assert open_lines == [None] * (len(lines) - 1)
    assert last == TypedMessage("first\n  second\nthird")


def test_quotes_may_close_on_their_line():
    """A fenced message of one line is a message."""
    assert fed('"""one"""', '"""', '"""') == [TypedMessage("one"), None, None]


def test_a_slash_inside_the_quotes_is_text():
    """A pasted path is no command."""
    assert fed('"""', "/etc/hosts", '"""')[-1] == TypedMessage("/etc/hosts")


def test_an_interrupt_forgets_the_open_message():
    """After a reset the next line stands for itself."""
    reader = LineReader()
    reader.feed('"""begun')
    assert reader.is_open
    reader.reset()
    assert reader.feed("new") == TypedMessage("new")
