import pytest

from homeport.domain.call_links import linked
from homeport.domain.messages import Message, Role
from homeport.domain.tools import ToolCall


def _result(name: str = "", key: str = "") -> Message:
    return Message(Role.TOOL, "4", tool_name=name, tool_call_id=key)


def _calls(*calls: ToolCall) -> Message:
    return Message(Role.ASSISTANT, "", tool_calls=calls)


def test_results_take_the_names_of_their_calls():
    """By id where there is one."""
    first, second = ToolCall(id="a", name="f"), ToolCall(id="b", name="g")
    messages = linked([_calls(first, second), _result(key="b"), _result(key="a"), _result(key="c")])
    assert [message.tool_name for message in messages[1:]] == ["g", "f", ""]


def test_results_without_ids_answer_open_calls():
    """The oldest of the name, or the oldest; calls without ids get some, the same each time."""
    messages = [
        _calls(ToolCall(id="", name="f"), ToolCall(id="", name="g"), ToolCall(id="", name="f")),
        _result("g"),
        _result("f"),
        _result(),
        _result(),
    ]
    told = linked(messages)
    assert [call.id for call in told[0].tool_calls] == ["call_00000000", "call_00000001", "call_00000002"]
    assert [(message.tool_call_id, message.tool_name) for message in told[1:]] == [
        ("call_00000001", "g"),
        ("call_00000000", "f"),
        ("call_00000002", "f"),
        ("", ""),
    ]
    assert linked(messages) == told


@pytest.mark.timeout(20)
def test_results_find_their_calls_among_many():
    """At no more cost for each: 100,000 take half a second, where looking through all took hours."""
    count = 100_000
    told = linked(
        [*[_calls(ToolCall(id="", name="f"))] * count, *[_result("g")] * count, *[_result("f")] * count]
    )
    assert {message.tool_call_id for message in told[count : 2 * count]} == {""}
    assert told[-1].tool_call_id == f"call_{count - 1:08}"


def test_a_repeated_id_is_the_later_call():
    """A client that counts its calls anew in each turn gets the result of the latest one."""
    again = ToolCall(id="a", name="g")
    told = linked([_calls(ToolCall(id="a", name="f")), _calls(again), _result("f"), _result(), _result("g")])
    assert [message.tool_call_id for message in told[2:]] == ["", "a", ""]
