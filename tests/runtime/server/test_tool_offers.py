"""Tools and the choice among them."""

import pytest

from homeport.domain.errors import InvalidRequestError
from homeport.domain.tools import Tool, ToolChoice, ToolOffer
from homeport.server.tool_offers import (
    MAX_DESCRIPTION_CHARACTERS,
    MAX_TOOLS,
    read_each,
    read_offer,
    read_tool,
)


def _tools(*names: str) -> list[Tool]:
    return [Tool(name=name) for name in names]


def test_a_tool_keeps_the_order_of_its_parameters():
    """What the template and the grammar see is what the client wrote."""
    schema = {"properties": {"z": {}, "a": {}}, "type": "object"}
    tool = read_tool("f", "add", None, schema)
    assert tool == Tool(name="add", parameters=schema)
    assert list(tool.parameters["properties"]) == ["z", "a"]
    assert read_tool("f", "now", "Tells the time.", None) == Tool(name="now", description="Tells the time.")


@pytest.mark.parametrize("name", [None, 5, "", "x" * 65, "a b", "ä", "a\n", "a/b"])
def test_names_of_tools_are_checked(name):
    """A name that no grammar could hold is refused where it stands."""
    with pytest.raises(
        InvalidRequestError, match=r"tools\[0\].function.name must be 1 to 64 letters"
    ) as caught:
        read_tool("tools[0].function", name, None, None)
    assert caught.value.field == "tools[0].function.name"


@pytest.mark.parametrize("name", ["x", "x" * 64, "get_weather-2.0"])
def test_common_names_of_tools_pass(name):
    """Letters, digits, dots, dashes, underscores."""
    assert read_tool("f", name, None, None).name == name


def test_schemas_and_descriptions_of_tools_are_bounded():
    """The field at fault is that of the dialect."""
    with pytest.raises(InvalidRequestError) as caught:
        read_tool("tools[1]", "f", None, [], schema_field="input_schema")
    assert caught.value.field == "tools[1].input_schema"
    read_tool("f", "f", "x" * MAX_DESCRIPTION_CHARACTERS, None)
    with pytest.raises(InvalidRequestError, match="description must hold at most"):
        read_tool("f", "f", "x" * (MAX_DESCRIPTION_CHARACTERS + 1), None)


def test_an_offer_holds_the_choice():
    """All that was asked for; no tools are no offer."""
    tools = _tools("a", "b")
    assert read_offer(tools) == ToolOffer(tools=tuple(tools))
    assert read_offer(tools, ToolChoice.REQUIRED, "b", parallel=False) == ToolOffer(
        tools=tuple(tools), choice=ToolChoice.REQUIRED, name="b", parallel=False
    )
    assert read_offer([]) is None
    assert read_offer([], ToolChoice.NONE) is None


def test_impossible_offers_are_refused():
    """Two of one name, none to choose from, none of the name."""
    with pytest.raises(InvalidRequestError, match='tools must have different names, got "a" twice'):
        read_offer(_tools("a", "b", "a"))
    with pytest.raises(InvalidRequestError, match="tool_choice needs tools to choose from, got none"):
        read_offer([], ToolChoice.REQUIRED)
    with pytest.raises(InvalidRequestError, match='choice names an unknown tool "c"; tools: a, b') as caught:
        read_offer(_tools("a", "b"), ToolChoice.REQUIRED, "c", choice_field="choice")
    assert caught.value.field == "choice"


def test_too_many_tools_are_not_even_read():
    """Only so is their number no way to keep the server busy."""

    def read(field: str, name: str) -> Tool:
        told.append(field)
        return Tool(name=name)

    told: list[str] = []
    assert len(read_each("tools", ["a"] * MAX_TOOLS, read)) == MAX_TOOLS
    assert told[-1] == f"tools[{MAX_TOOLS - 1}]"
    told.clear()
    with pytest.raises(InvalidRequestError, match="tools must hold at most 128 tools, got 129"):
        read_each("tools", ["a"] * (MAX_TOOLS + 1), read)
    assert (told, read_each("tools", None, read)) == ([], [])
