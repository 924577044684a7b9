"""Calls in conversations."""

import pytest

from homeport.domain.call_links import linked
from homeport.domain.errors import InvalidRequestError
from homeport.domain.messages import Message, Role
from homeport.domain.tools import ToolCall
from homeport.server.schemas.tools import CalledFunction, EarlierCall
from homeport.server.tool_calls import MAX_CALLS, object_text, read_calls


def _call(name: str | None, arguments: object = None, key: str | None = None) -> EarlierCall:
    return EarlierCall(id=key, function=CalledFunction(name=name, arguments=arguments))


def _result(name: str = "", key: str = "") -> Message:
    return Message(Role.TOOL, "4", tool_name=name, tool_call_id=key)


def _calls(*calls: ToolCall) -> Message:
    return Message(Role.ASSISTANT, "", tool_calls=calls)


def test_arguments_come_as_objects_and_as_text():
    """Both are kept as text, in order; none is an object without anything."""
    sent = [_call("f", {"b": 1, "a": None}, "x"), _call("g", '{"b": 1.50}'), _call("h"), _call("i", "")]
    assert read_calls("c", sent) == (
        ToolCall(id="x", name="f", arguments='{"b":1,"a":null}'),
        ToolCall(id="", name="g", arguments='{"b": 1.50}'),
        ToolCall(id="", name="h"),
        ToolCall(id="", name="i"),
    )


@pytest.mark.parametrize("arguments", ["x", "[]", "{", '{"a": NaN}', "5", "null"])
def test_arguments_are_objects(arguments):
    """What no template could render as one is refused."""
    with pytest.raises(InvalidRequestError, match="must be an object of JSON") as caught:
        read_calls("c", [_call("f"), _call("f", arguments)])
    assert caught.value.field == "c[1].function.arguments"


@pytest.mark.parametrize("call", [EarlierCall(), _call(None), _call("")])
def test_calls_have_names(call):
    """A call of nothing is refused."""
    with pytest.raises(InvalidRequestError, match=r"c\[0\].function.name is required"):
        read_calls("c", [call])


def test_calls_are_bounded():
    """128 in a message."""
    assert len(read_calls("c", [_call("f")] * MAX_CALLS)) == MAX_CALLS
    with pytest.raises(InvalidRequestError, match="c must hold at most 128 calls, got 129"):
        read_calls("c", [_call("f")] * (MAX_CALLS + 1))


def test_an_object_stands_on_one_line():
    """Keys stay in order, doubled ones too, numbers as they are; what is no object is None."""
    assert object_text('{\n "b": 1.50,\n "a": [1, 123456789012345678901234567890], "b": "x y"}') == (
        '{"b":1.50,"a":[1,123456789012345678901234567890],"b":"x y"}'
    )
    assert object_text("{}") == "{}"
    assert object_text('{"a": ') is None
    assert object_text("[1]") is None


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
