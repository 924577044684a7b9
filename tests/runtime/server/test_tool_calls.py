"""Calls in conversations."""

import pytest

from homeport.domain.errors import InvalidRequestError
from homeport.domain.tools import ToolCall
from homeport.server.schemas.tools import CalledFunction, EarlierCall
from homeport.server.tool_calls import MAX_CALLS, object_text, read_calls


def _call(name: str | None, arguments: object = None, key: str | None = None) -> EarlierCall:
    return EarlierCall(id=key, function=CalledFunction(name=name, arguments=arguments))


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
