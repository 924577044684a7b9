import json
import re
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.domain.generation import TextDelta, ToolCallDelta
from homeport.domain.tools import Tool, ToolOffer
from homeport.engine.deltas import joined
from homeport.engine.tool_formats import FORMATS, format_of
from homeport.gateway.gathered_calls import GatheredCalls

TEMPLATES = Path(__file__).parent.parent / "templates"
OFFER = ToolOffer(tools=(Tool(name="get_weather"), Tool(name="add")))
SINGLE = attrs.evolve(OFFER, parallel=False)
FAMILIES = ["qwen3", "llama3", "mistral_list", "mistral_named", "plain_json"]
WEATHER = '{"city": "Paris", "days": [1, 2.5e3, null], "note": "a \\"b\\" {c}"}'
SUM = '{"a": 1, "b": -2}'
CALLS = [("get_weather", WEATHER), ("add", SUM)]


def template(family):
    return (TEMPLATES / f"{family}.jinja").read_text(encoding="utf-8")


def reader(family, offer=OFFER):
    return format_of(template(family), {}).reader(offer)


def written(family, calls):
    """Write calls as a model of the family does."""
    key = "parameters" if family == "llama3" else "arguments"
    objects = [f'{{"name": "{name}", "{key}": {arguments}}}' for name, arguments in calls]
    return {
        "qwen3": "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in objects),
        "llama3": "; ".join(objects),
        "mistral_list": f"[TOOL_CALLS] [{', '.join(objects)}]",
        "mistral_named": "".join(f"[TOOL_CALLS]{name}[ARGS]{arguments}" for name, arguments in calls),
        "plain_json": f"[{', '.join(objects)}]",
    }[family]


def read(calls, pieces):
    """Feed pieces and give all deltas, joined."""
    deltas = [delta for piece in pieces for delta in calls.add(piece)]
    return joined([*deltas, *calls.close()])


def told(deltas):
    """Give text and calls without the ids."""
    gathered = GatheredCalls()
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            gathered.add(delta)
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    return text, [(call.name, call.arguments) for call in gathered.whole()]


def split(draw, text):
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize("family", FAMILIES)
def test_calls_are_told_with_names_arguments_and_fresh_ids(family):
    """Two calls in the form of a family are two calls, numbered, and no text."""
    deltas = read(reader(family), [written(family, CALLS)])
    assert told(deltas) == ("", CALLS)
    firsts = [delta for delta in deltas if delta.name]
    assert [delta.index for delta in firsts] == [0, 1]
    assert all(re.fullmatch("call_[a-z0-9]{8}", delta.id) for delta in firsts)
    assert firsts[0].id != firsts[1].id


@pytest.mark.parametrize("family", FAMILIES)
def test_every_single_split_tells_the_same(family):
    """Wherever an answer is cut in two, text and calls are the same."""
    text = written(family, CALLS)
    for place in range(len(text) + 1):
        assert told(read(reader(family), [text[:place], text[place:]])) == ("", CALLS)


@given(st.data(), st.sampled_from(FAMILIES))
def test_noise_among_calls_is_read_alike_however_it_is_split(data, family):
    """Any text, whole calls and broken ones among it, gives the same deltas for any split, and no error."""
    marks = ["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "\n", " ", "; "]
    whole = [written(family, CALLS), written(family, CALLS[:1]), written(family, [("unknown", "{}")])]
    parts = st.one_of(
        st.text(max_size=5), st.text('{}[]":,\\ ntfu0-', max_size=6), st.sampled_from(marks + whole)
    )
    text = "".join(data.draw(st.lists(parts, max_size=6)))
    text = text[: data.draw(st.integers(0, len(text)))]
    at_once = read(reader(family), [text])
    assert told(read(reader(family), split(data.draw, text))) == told(at_once)
    assert told(read(reader(family), list(text))) == told(at_once)


@given(st.data(), st.sampled_from(FAMILIES))
def test_text_and_calls_add_up(data, family):
    """Where nothing is a call, nothing of a text is lost."""
    text = data.draw(st.text('{}[]":,\\ nam<tool_call>/', max_size=40))
    said, calls = told(read(reader(family), split(data.draw, text)))
    assert not calls
    assert said == text


@pytest.mark.parametrize("family", ["qwen3", "mistral_list", "mistral_named"])
def test_text_before_marked_calls_passes_at_once(family):
    """What stands before calls is text, told as it comes, without the blanks before the mark."""
    calls = reader(family)
    assert calls.add("Let me see") == [TextDelta("Let me see")]
    rest = read(calls, [".\n", written(family, CALLS)])
    assert told(rest) == (".", CALLS)


def test_text_behind_calls_is_text():
    """A model that goes on to speak behind its calls is heard."""
    text = written("qwen3", CALLS[:1]) + "\nThat is all."
    assert told(read(reader("qwen3"), list(text))) == ("That is all.", CALLS[:1])


def test_arguments_are_told_as_they_come():
    """Every piece of the arguments is handed on before the call is over."""
    calls = reader("qwen3")
    assert calls.add('<tool_call>\n{"name": "add", "arg') == []
    (first,) = calls.add('uments": {"a": ')
    assert (first.name, first.arguments) == ("add", '{"a": ')
    assert [delta.arguments for delta in calls.add("12")] == ["12"]
    assert calls.held == 0


def test_half_a_mark_is_never_text():
    """The beginning of a mark waits until it is one, or is none."""
    calls = reader("qwen3")
    assert calls.add("a <tool") == [TextDelta("a")]
    assert joined(calls.add("box>")) == [TextDelta(" <toolbox>")]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_tool_is_text(family):
    """Who calls what was not offered has only spoken."""
    text = written(family, [("launch", '{"now": true}')])
    said, calls = told(read(reader(family), list(text)))
    assert not calls
    assert said == text


@pytest.mark.parametrize(
    "broken",
    [
        "<tool_call>\nget_weather(Paris)\n</tool_call>",
        '<tool_call>\n{"name": "add" "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"arguments": {"a": 1}}\n</tool_call>',
        '<tool_call>\n{"name": "add", "arguments": [1, 2]}\n</tool_call>',
        '<tool_call>\n{"name": ["add"], "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": "add"',
    ],
)
def test_broken_calls_are_text(broken):
    """What is no call by its form is text, word for word."""
    assert told(read(reader("qwen3"), list(broken))) == (broken, [])


def test_a_broken_call_does_not_hide_the_next():
    """The mark behind a broken call begins a call."""
    text = '<tool_call>{"name": "add" <tool_call>{"name": "add", "arguments": {}}</tool_call>'
    said, calls = told(read(reader("qwen3"), list(text)))
    assert said == '<tool_call>{"name": "add" '
    assert calls == [("add", "{}")]


def test_arguments_that_break_end_where_they_break():
    """A call that was told of already keeps what is sure; the rest is text."""
    text = '<tool_call>\n{"name": "add", "arguments": {"a": 1, oops}}\n</tool_call>'
    said, ((name, arguments),) = told(read(reader("qwen3"), list(text)))
    assert (name, arguments) == ("add", '{"a": 1, ')
    assert said.startswith("oops")


@pytest.mark.parametrize(
    ("written_as", "arguments"),
    [
        ('{"arguments": {"a": 1}, "name": "add"}', '{"a": 1}'),
        ('{"name": "add"}', "{}"),
        ('{"name": "add", "arguments": null}', "{}"),
        ('{"name": "add", "arguments": "{\\"a\\": 1}"}', '{"a": 1}'),
        ('{"type": "function", "name": "add", "parameters": {"a": 1}, "id": 7}', '{"a": 1}'),
        ('{"function": "add", "arguments": {"a": "x\ny"}}', '{"a": "x\\ny"}'),
        ('{"name": "add", "arguments": {"a": 1}}}', '{"a": 1}'),
    ],
)
def test_forms_that_models_also_write_are_calls(written_as, arguments):
    """Keys in any order, arguments left out or as text, raw line breaks and a bracket too many do no harm."""
    text = f"<tool_call>\n{written_as}\n</tool_call>"
    assert told(read(reader("qwen3"), list(text))) == ("", [("add", arguments)])
    json.loads(arguments)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_call_ends_the_answer_where_only_one_is_allowed(family):
    """Without parallel calls nothing behind the first is read."""
    calls = reader(family, SINGLE)
    deltas = joined(calls.add(written(family, CALLS)))
    assert calls.is_done
    assert told([*deltas, *calls.close()]) == ("", CALLS[:1])


def test_only_the_named_tool_may_be_called():
    """Where a tool is named, calls of others are text."""
    calls = reader("qwen3", attrs.evolve(OFFER, name="add"))
    assert told(read(calls, [written("qwen3", CALLS)]))[1] == CALLS[1:]


@pytest.mark.parametrize("family", ["llama3", "plain_json"])
def test_bare_calls_only_begin_an_answer(family):
    """JSON behind words is text where no mark tells calls."""
    text = "Here: " + written(family, CALLS)
    assert told(read(reader(family), list(text))) == (text, [])


def test_llama_may_put_its_mark_first():
    """The mark of Llama is no text, special token or not."""
    text = "<|python_tag|>" + written("llama3", CALLS)
    assert told(read(reader("llama3"), list(text))) == ("", CALLS)


def test_a_mark_that_is_a_special_token_is_no_text_either_when_nothing_comes_of_it():
    """What belongs to no text is left out of the text that a broken call becomes."""
    marked = format_of(template("llama3"), {"<|python_tag|>": 9}, frozenset({"<|python_tag|>"})).reader(OFFER)
    assert told(read(marked, list("<|python_tag|>print(1)"))) == ("print(1)", [])


def test_mistral_may_give_calls_ids_of_its_own():
    """An id between name and arguments is passed over."""
    text = "[TOOL_CALLS]add[CALL_ID]abc123456[ARGS]" + SUM
    assert told(read(reader("mistral_named"), list(text))) == ("", [("add", SUM)])


def test_deep_nesting_and_long_heads_are_text():
    """Bounds keep an answer that never becomes a call from being held for ever."""
    deep = '<tool_call>{"name": "add", "arguments": ' + '{"a":' * 100
    assert told(read(reader("qwen3"), [deep]))[0]
    long = '<tool_call>{"x": "' + "y" * 100_000
    calls = reader("qwen3")
    assert sum(len(delta.text) for delta in calls.add(long)) > 60_000


def test_every_family_is_found_by_its_template():
    """Each template is recognised by the format that reads its answers."""
    found = [type(format_of(template(family), {})).__name__ for family in FAMILIES]
    assert found == ["HermesFormat", "LlamaFormat", "MistralFormat", "MistralFormat", "PlainJsonFormat"]
    assert FORMATS[-1].recognises("")
