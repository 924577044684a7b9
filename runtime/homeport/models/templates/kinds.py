"""What the values of a Go template are, by the names that Ollama gives them, and what Jinja calls them.

Source: https://github.com/ollama/ollama/blob/main/template/template.go and api/types.go
"""

from collections.abc import Mapping

import attrs


@attrs.frozen(eq=False)
class Kind:
    """What a value is.

    Attributes:
        name: For people.
        fields: Of a record: the Jinja for each, with ``{}`` for the record, and what it is.
        item: What a list or a map holds; None where it is neither.
        is_map: Whether it is a map.
    """

    name: str
    fields: Mapping[str, "tuple[str, Kind]"] = attrs.field(factory=dict)
    item: "Kind | None" = None
    is_map: bool = False


TEXT = Kind("text")
NUMBER = Kind("number")
FLAG = Kind("flag")
ANY = Kind("value")
ANY_LIST = Kind("list", item=ANY)
ANY_MAP = Kind("map", item=ANY, is_map=True)

_PROPERTY = Kind(
    "property",
    {
        "Type": ("{}.type", ANY),
        "Description": ("({}.description or '')", TEXT),
        "Enum": ("({}.enum or [])", ANY_LIST),
        "Items": ("{}['items']", ANY),
    },
)
_PARAMETERS = Kind(
    "parameters",
    {
        "Type": ("{}.type", TEXT),
        "Required": ("({}.required or [])", ANY_LIST),
        "Properties": ("({}.properties or {{}})", Kind("map", item=_PROPERTY, is_map=True)),
    },
)
_TOOL_FUNCTION = Kind(
    "function",
    {
        "Name": ("{}.name", TEXT),
        "Description": ("({}.description or '')", TEXT),
        "Parameters": ("{}.parameters", _PARAMETERS),
    },
)
_TOOL = Kind("tool", {"Type": ("{}.type", TEXT), "Function": ("{}.function", _TOOL_FUNCTION)})
_CALL_FUNCTION = Kind(
    "called function", {"Name": ("{}.name", TEXT), "Arguments": ("({}.arguments or {{}})", ANY_MAP)}
)
_CALL = Kind("tool call", {"ID": ("({}.id or '')", TEXT), "Function": ("{}.function", _CALL_FUNCTION)})
_MESSAGE = Kind(
    "message",
    {
        "Role": ("{}.role", TEXT),
        "Content": ("({}.content or '')", TEXT),
        "Thinking": ("({}.thinking or {}.reasoning_content or '')", TEXT),
        "ToolCalls": ("({}.tool_calls or [])", Kind("list", item=_CALL)),
        "ToolName": ("({}.name or '')", TEXT),
        "ToolCallID": ("({}.tool_call_id or '')", TEXT),
        "Images": ("[]", ANY_LIST),
    },
)
_SAME: Mapping[str, tuple[str, Kind]] = {
    "System": ("system", TEXT),
    "Prompt": ("prompt", TEXT),
    "Response": ("response", TEXT),
    "Suffix": ("''", TEXT),
    "Think": ("(enable_thinking | default(true))", FLAG),
    "ThinkLevel": ("(reasoning_effort | default(''))", TEXT),
    "IsThinkSet": ("true", FLAG),
}
CONVERSATION = Kind(
    "template",
    {
        **_SAME,
        "Messages": ("turns.all", Kind("list", item=_MESSAGE)),
        "Tools": ("(tools or [])", Kind("list", item=_TOOL)),
    },
)
"""What a template sees that goes through the messages itself."""

EXCHANGE = Kind("template", {**_SAME, "Messages": ("[]", ANY_LIST), "Tools": ("[]", ANY_LIST)})
"""What a template sees that is rendered once for each question and its answer."""
