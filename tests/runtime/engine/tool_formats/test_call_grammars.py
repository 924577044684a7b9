import json
from pathlib import Path

import attrs
import pytest
from llguidance import LLMatcher, LLTokenizer
from tokenizers import AddedToken, Tokenizer

from homeport.domain.tools import Tool, ToolOffer
from homeport.engine.tool_formats import format_of

TEMPLATES = Path(__file__).parent.parent / "templates"
MARKS = ("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]")
CITY = {
    "type": "object",
    "properties": {"city": {"$ref": "#/$defs/city"}},
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"city": {"type": "string"}},
}
NAME = 'say "hé"\\'
OFFER = ToolOffer(tools=(Tool(name="get_weather", parameters=CITY), Tool(name=NAME)))
WEATHER = '{"city": "Paris"}'
ANY = '{"x": 1, "y": [2, 3]}'
FAMILIES = ["qwen3", "llama3", "mistral_list", "mistral_named", "plain_json"]


@pytest.fixture(scope="module", params=[True, False], ids=["marks are tokens", "marks are text"])
def tokenizer(request, tiny_folder):
    """A byte tokenizer with or without tokens for the marks."""
    found = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    if request.param:
        found.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS])
    return found


@pytest.fixture
def accepts(tokenizer):
    """Say whether a family's grammar takes an answer as a whole."""
    vocabulary = LLTokenizer(tokenizer.to_str(), eos_token=256)
    tokens = {mark: number for mark in MARKS if (number := tokenizer.token_to_id(mark)) is not None}

    def check(family, offer, text):
        template = (TEMPLATES / f"{family}.jinja").read_text(encoding="utf-8")
        grammar = format_of(template, tokens, frozenset(tokens)).grammar(offer)
        matcher = LLMatcher(vocabulary, grammar, log_level=0)
        assert not matcher.is_error(), matcher.get_error()
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()

    return check


def written(family, calls):
    key = "parameters" if family == "llama3" else "arguments"
    objects = [
        f'{{"name": {json.dumps(name, ensure_ascii=False)}, "{key}": {arguments}}}'
        for name, arguments in calls
    ]
    if family == "qwen3":
        return "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in objects)
    if family == "mistral_named":
        return "".join(f"[TOOL_CALLS]{name}[ARGS]{arguments}" for name, arguments in calls)
    listed = f"[{', '.join(objects)}]"
    bare = objects[0] if len(objects) == 1 else listed
    return {"llama3": "; ".join(objects), "mistral_list": f"[TOOL_CALLS]{listed}", "plain_json": bare}[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_forced_answers_are_calls_of_offered_tools_with_fitting_arguments(accepts, family):
    """One call or several, each by the schema of its tool; other tools, arguments and texts do not pass."""
    assert accepts(family, OFFER, written(family, [("get_weather", WEATHER)]))
    assert accepts(family, OFFER, written(family, [(NAME, ANY), ("get_weather", WEATHER)]))
    assert not accepts(family, OFFER, written(family, [("get_weather", '{"town": "Paris"}')]))
    assert not accepts(family, OFFER, written(family, [("launch", WEATHER)]))
    assert not accepts(family, OFFER, "I would rather talk")
    assert not accepts(family, OFFER, "")


@pytest.mark.parametrize("family", FAMILIES)
def test_where_calls_are_not_parallel_exactly_one_passes(accepts, family):
    """A second call does not pass."""
    single = attrs.evolve(OFFER, parallel=False)
    assert accepts(family, single, written(family, [("get_weather", WEATHER)]))
    assert not accepts(family, single, written(family, [(NAME, ANY), ("get_weather", WEATHER)]))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_named_tool_is_the_only_one_that_passes(accepts, family):
    """The one that was named is called, once."""
    named = attrs.evolve(OFFER, name="get_weather")
    assert accepts(family, named, written(family, [("get_weather", WEATHER)]))
    assert not accepts(family, named, written(family, [(NAME, ANY)]))
