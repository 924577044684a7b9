from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.domain.generation import TextDelta, ThoughtDelta, ToolCallDelta
from homeport.domain.tools import Tool, ToolOffer
from homeport.engine.answer_form import PLAIN_TEXT, AnswerForm
from homeport.engine.answer_reader import AnswerReader
from homeport.engine.deltas import joined
from homeport.engine.thought_markers import KNOWN_MARKERS
from homeport.engine.tool_formats import format_of

OFFER = ToolOffer(tools=(Tool(name="add"),))
QWEN = format_of((Path(__file__).parent / "templates/qwen3.jinja").read_text(encoding="utf-8"), {})
THINKS = AnswerForm(thoughts=KNOWN_MARKERS[0])
OPENED = AnswerForm(thoughts=KNOWN_MARKERS[0], is_opened=True)
BOTH = AnswerForm(offer=OFFER, tool_format=QWEN, thoughts=KNOWN_MARKERS[0])
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": "STOP"}}\n</tool_call>'


def read(form, pieces, stop=()):
    """Read an answer as its sequence does; give its parts, joined, and what read it."""
    reader = AnswerReader(form, stop)
    deltas = []
    for piece in pieces:
        if reader.is_done:
            break
        deltas += reader.add(piece)
    if not reader.is_done:
        deltas += reader.close()
    return joined(deltas), reader


def parts(form, pieces, stop=()):
    """Give thoughts, text and arguments of calls."""
    deltas, _ = read(form, pieces, stop)

    def all_of(kind, name):
        return "".join(getattr(delta, name) for delta in deltas if isinstance(delta, kind))

    return all_of(ThoughtDelta, "text"), all_of(TextDelta, "text"), all_of(ToolCallDelta, "arguments")


@pytest.mark.parametrize(
    ("form", "answer", "thought", "text"),
    [
        (THINKS, "<think>\nhm, so\n</think>\n\nYes.\n", "hm, so", "Yes.\n"),
        (THINKS, " \n<think>hm</think>Yes.", "hm", "Yes."),
        (THINKS, "Yes. <think>no</think>", "", "Yes. <think>no</think>"),
        (THINKS, "  Yes.", "", "  Yes."),
        (THINKS, "<think>\n\n</think>\n\nYes.", "", "Yes."),
        (THINKS, "<think>\nhm", "hm", ""),
        (THINKS, "<thi", "", "<thi"),
        (OPENED, "hm\n\nso\n</think>\n\nYes.", "hm\n\nso", "Yes."),
        (OPENED, "<think>\nhm</think>Yes.", "hm", "Yes."),
        (OPENED, "hm </thin", "hm </thin", ""),
        (OPENED, "hm </think>a</think>b", "hm", "a</think>b"),
        (OPENED, "", "", ""),
        (PLAIN_TEXT, "<think>hm</think> Yes.", "", "<think>hm</think> Yes."),
        (AnswerForm(thoughts=KNOWN_MARKERS[1]), "[THINK]hm[/THINK]Yes.", "hm", "Yes."),
        (AnswerForm(thoughts=KNOWN_MARKERS[0], is_begun=True), "<think> is a mark", "", "<think> is a mark"),
    ],
)
def test_thoughts_are_told_from_what_is_said(form, answer, thought, text):
    """Marks and blanks around a thought go, whatever the pieces; nothing else does."""
    assert parts(form, [answer]) == (thought, text, "")
    assert parts(form, list(answer)) == (thought, text, "")


@given(
    st.lists(
        st.sampled_from(
            [
                "<think>",
                "</think>",
                "<tool_call>",
                "</tool_call>",
                CALL,
                "STOP",
                "ST",
                "a",
                " ",
                "\n",
                "{",
                "<",
            ]
        ),
        max_size=10,
    ),
    st.sampled_from([PLAIN_TEXT, THINKS, OPENED, BOTH]),
    st.sampled_from([(), ("STOP",), ("\n", "a a")]),
    st.data(),
)
def test_pieces_make_no_difference(words, form, stop, data):
    """Thoughts, texts and calls are the same however an answer is cut, and reading never fails."""
    answer = "".join(words)
    places = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=6)))
    cut = [answer[a:b] for a, b in zip([0, *places], [*places, len(answer)], strict=True)]
    assert parts(form, cut, stop) == parts(form, [answer], stop) == parts(form, list(answer), stop)


def test_stop_texts_end_what_is_said_and_nothing_else():
    """A thought and the arguments of a call may hold a stop text; the answer ends at the one in its text."""
    answer = f"<think>STOP</think>{CALL}\nwell STOP never"
    deltas, reader = read(BOTH, list(answer), ["STOP"])
    assert (reader.is_done, reader.stopped_by) == (True, "STOP")
    assert parts(BOTH, [answer], ["STOP"]) == ("STOP", "well ", '{"a": "STOP"}')
    assert [type(delta) for delta in deltas] == [ThoughtDelta, ToolCallDelta, TextDelta]


def test_what_might_become_a_stop_text_is_told_before_a_call():
    """Text in front of a call is not held back behind it."""
    deltas, _ = read(AnswerForm(offer=OFFER, tool_format=QWEN), [f"so ST{CALL}"], ["STOP"])
    assert deltas[0] == TextDelta("so ST")
    assert isinstance(deltas[1], ToolCallDelta)


def test_it_thinks_until_its_thought_ends():
    """Whether a thought goes on is known after every piece."""
    reader = AnswerReader(OPENED, ())
    states = []
    for piece in ["hm", " </thi", "nk>", "\n", "Yes"]:
        reader.add(piece)
        states.append(reader.is_thinking)
    assert states == [True, True, False, False, False]


def test_one_call_ends_the_answer_where_calls_are_not_parallel():
    """What follows the only call is not read."""
    form = AnswerForm(offer=ToolOffer(tools=OFFER.tools, parallel=False), tool_format=QWEN)
    deltas, reader = read(form, [CALL, CALL, "text"])
    assert reader.is_done
    assert not reader.stopped_by
    assert len(deltas) == 1
