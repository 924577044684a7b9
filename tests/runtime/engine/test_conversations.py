from hypothesis import given
from hypothesis import strategies as st

from homeport.domain.messages import Message, Role
from homeport.domain.tools import ToolCall
from homeport.engine.conversations import without_oldest

CALLS = (ToolCall(id="1", name="a"), ToolCall(id="2", name="b"))
SYSTEM = Message(Role.SYSTEM, "s")
TURNS = (
    SYSTEM,
    Message(Role.USER, "u1"),
    Message(Role.ASSISTANT, "", tool_calls=CALLS),
    Message(Role.TOOL, "r1"),
    Message(Role.TOOL, "r2"),
    Message(Role.ASSISTANT, "a1"),
    Message(Role.USER, "u2"),
    Message(Role.ASSISTANT, "", tool_calls=CALLS[:1]),
    Message(Role.TOOL, "r3"),
)


def test_the_oldest_turns_go_first_and_as_few_as_possible():
    """System messages and the last turn stay; calls go together with all their results."""
    kept = [without_oldest(TURNS, lambda left, most=most: len(left) <= most) for most in (9, 8, 7, 4, 3, 0)]
    assert kept == [
        TURNS,
        (SYSTEM, *TURNS[2:]),
        (SYSTEM, *TURNS[5:]),
        (SYSTEM, *TURNS[6:]),
        (SYSTEM, *TURNS[7:]),
        (SYSTEM, *TURNS[7:]),
    ]


@given(st.lists(st.sampled_from(TURNS), min_size=1, max_size=12), st.integers(0, 12))
def test_no_conversation_loses_its_last_message_or_its_results_alone(turns, most):
    """Whatever the order of messages: the last stays, and no call stays without the results it had."""
    kept = without_oldest(turns, lambda left: len(left) <= most)
    assert kept[-1] is turns[-1]
    assert sum(turn.role is Role.SYSTEM for turn in kept) == sum(turn.role is Role.SYSTEM for turn in turns)


def test_results_without_a_call_stand_alone():
    """Broken conversations are cut all the same."""
    turns = (Message(Role.TOOL, "r"), Message(Role.TOOL, "r"), Message(Role.USER, "u"))
    assert without_oldest(turns, lambda left: len(left) < 2) == turns[2:]
