import re
from pathlib import Path

import attrs
import pytest

from homeport.domain.errors import InvalidRequestError, LoadError
from homeport.domain.generation import ChatPrompt
from homeport.domain.messages import Message, Role
from homeport.domain.tools import Tool, ToolCall, ToolChoice, ToolOffer
from homeport.engine.chat_template import ChatTemplate

TEMPLATES = Path(__file__).parent / "templates"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OFFER = ToolOffer(tools=(Tool(name="get_weather", description="Tells the weather", parameters=SCHEMA),))
CALL = ToolCall(id="call_ab12cd34", name="get_weather", arguments='{"city": "Zürich"}')
ASKED = (
    Message(Role.USER, "How is the weather?"),
    Message(Role.ASSISTANT, "", thinking="I look it up.", tool_calls=(CALL,)),
    Message(Role.TOOL, "12 degrees", tool_call_id=CALL.id),
)
PROMPT = ChatPrompt(ASKED, tools=OFFER)
WITH_TOOLS = ["qwen2", "qwen3", "llama3", "mistral_list", "mistral_named", "plain_json"]


def load(name):
    return ChatTemplate((TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8"), SPECIAL)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_tools_calls_and_results_reach_the_model(name):
    """Every family's template writes the tool, the call with its arguments and the result."""
    text = load(name).render(PROMPT)
    assert "Tells the weather" in text
    assert re.search(r'"city":\s*\{\s*"type":\s*"string"', text)
    assert '{"city": "Zürich"}' in text
    assert "12 degrees" in text


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_without_an_offer_or_with_the_choice_of_none_no_tool_is_rendered(name):
    """A model that must not call is not told of tools; one that was offered none neither."""
    plain = ChatPrompt(ASKED[:1])
    none = attrs.evolve(plain, tools=attrs.evolve(OFFER, choice=ToolChoice.NONE))
    assert "Tells the weather" not in load(name).render(none)
    assert load(name).render(none) == load(name).render(plain)


def test_calls_and_results_without_ids_find_each_other():
    """Results that name only their tool, or nothing, get the id of the call they answer."""
    calls = tuple(ToolCall(id="", name=name) for name in ("a", "b"))
    turns = (
        Message(Role.ASSISTANT, "", tool_calls=calls),
        Message(Role.TOOL, "of b", tool_name="b"),
        Message(Role.TOOL, "of a"),
    )
    written = "{{ m.tool_call_id or m.tool_calls | map(attribute='id') | join }}/{{ m.name }} "
    source = f"{{% for m in messages %}}{written}{{% endfor %}}"
    text = ChatTemplate(source, {}).render(ChatPrompt(turns))
    assert text == "call_00000000call_00000001/ call_00000001/b call_00000000/a "


def test_results_with_an_id_get_the_name_of_their_tool():
    """A template that writes the name finds it."""
    assert "get_weather: 12 degrees" in load("plain_json").render(PROMPT)


def test_ids_have_nine_letters_for_templates_that_insist():
    """Mistral's templates refuse other ids; calls and results keep agreeing."""
    text = load("mistral_list").render(PROMPT)
    assert text.count("lab12cd34") == 2


def test_arguments_are_an_object_that_also_passes_for_text():
    """Templates that write them as JSON and those that hold text to them give the same."""
    turns = ASKED[1:2]
    printed = "{{ messages[0].tool_calls[0].function.arguments%s }}"
    forms = [
        printed % "",
        printed % " | tojson",
        "{{ '' + messages[0].tool_calls[0].function.arguments + '' }}",
    ]
    assert {ChatTemplate(form, {}).render(ChatPrompt(turns)) for form in forms} == {'{"city": "Zürich"}'}


def test_arguments_that_are_no_object_stay_text():
    """What a model wrote in an earlier turn is rendered as it is, valid or not."""
    broken = attrs.evolve(ASKED[1], tool_calls=(attrs.evolve(CALL, arguments='{"city": '),))
    assert '"arguments": {"city": }' in load("qwen3").render(ChatPrompt((ASKED[0], broken)))


def test_thoughts_and_values_reach_the_template():
    """``enable_thinking``, ``reasoning_effort``, further values and the thoughts of a turn are there."""
    names = "enable_thinking reasoning_effort date messages[0].thinking messages[0].reasoning_content"
    source = " ".join(f"{{{{ {name} }}}}" for name in names.split())
    prompt = ChatPrompt(
        (Message(Role.ASSISTANT, "", thinking="hm"),),
        thinks=False,
        effort="low",
        template_values={"date": "today", "messages": "mine"},
    )
    assert ChatTemplate(source, {}).render(prompt) == "False low today hm hm"


def test_a_turn_has_only_the_keys_it_needs():
    """Templates ask whether a key is there: plain turns have role and content alone."""
    source = "{% for key in messages[0] %}{{ key }} {% endfor %}"
    assert ChatTemplate(source, {}).render(ChatPrompt((Message(Role.USER, "hi"),))) == "role content "


def test_refusals_of_a_template_are_the_clients_to_read():
    """What a template raises says why."""
    turn = attrs.evolve(ASKED[1], tool_calls=(CALL, attrs.evolve(CALL, id="call_x")))
    with pytest.raises(InvalidRequestError, match="single tool-calls"):
        load("llama3").render(ChatPrompt((ASKED[0], turn)))


def test_a_broken_template_is_told_of():
    """A source that is no Jinja does not load."""
    with pytest.raises(LoadError, match="not valid"):
        ChatTemplate("{% if %}", {})
