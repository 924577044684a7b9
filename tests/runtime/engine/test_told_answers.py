import json
from pathlib import Path

import attrs
import pytest
from tokenizers import Tokenizer

from homeport import (
    ChatPrompt,
    Finished,
    FinishReason,
    GenerationRequest,
    LoadPlan,
    Message,
    PromptAccepted,
    Role,
    Sampling,
    TextDelta,
    TextPrompt,
)
from homeport.domain.constraint import Constraint, ConstraintKind
from homeport.domain.generation import ThoughtDelta, ToolCallDelta
from homeport.domain.tools import Tool, ToolChoice, ToolOffer
from homeport.engine.engine import Engine
from homeport.engine.tokenizer import TextTokenizer
from homeport.gateway.gathered_calls import GatheredCalls
from homeport.testing.quoting_model import QuotingModel
from homeport.testing.tiny_model import END_TOKEN, write_tiny_model

TEMPLATES = Path(__file__).parent / "templates"
PLAN = LoadPlan(context_length=4096, slots=2, threads=1)
CITY = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
OFFER = ToolOffer(tools=(Tool(name="get_weather", parameters=CITY), Tool(name="add")))
ASKED = ChatPrompt((Message(Role.USER, "How is the weather?"),), tools=OFFER)
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
MARKS = ["<tool_call>", "</tool_call>", "<think>", "</think>", "[TOOL_CALLS]", "[ARGS]", "<|im_end|>"]


@pytest.fixture
def ask(tmp_path):
    """Ask a model of a family that wants to answer with a given text; give its events."""

    def run(family, answer, prompt=ASKED, *, special=True, constraint=None, begun="", **sampling):
        write_tiny_model(tmp_path)
        tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        add = tokenizer.add_special_tokens if special else tokenizer.add_tokens
        add(MARKS)
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        template = (TEMPLATES / f"{family}.jinja").read_text(encoding="utf-8")
        (tmp_path / "tokenizer_config.json").write_text(
            json.dumps({"eos_token": "<end>", "chat_template": template})
        )
        text = TextTokenizer(tmp_path)
        size = tokenizer.get_vocab_size()
        settings = {"temperature": 0, "max_tokens": 400} | sampling
        request = GenerationRequest(
            id="r",
            model="m",
            prompt=prompt,
            sampling=Sampling(**settings),
            constraint=constraint,
            begun=begun,
        )

        def answered(length):
            model = QuotingModel(
                text.encode(answer, add_special_tokens=False),
                prompt_tokens=length,
                vocabulary_size=size,
                end_token=END_TOKEN,
            )
            engine = Engine(model, model.load(tmp_path, PLAN), text, PLAN)
            told = engine.submit(request)
            while not told:
                told += engine.step()
            accepted = told[0].event
            assert isinstance(accepted, PromptAccepted), accepted
            if length != accepted.prompt_tokens:
                return answered(accepted.prompt_tokens)
            while engine.busy:
                told += engine.step()
            return [each.event for each in told]

        return answered(0)

    return run


def told(events):
    """Give thoughts, text and calls."""
    calls = GatheredCalls()
    thoughts = text = ""
    for event in events:
        match event:
            case ThoughtDelta():
                thoughts += event.text
            case TextDelta():
                text += event.text
            case ToolCallDelta():
                calls.add(event)
    return thoughts, text, [(call.name, call.arguments) for call in calls.whole()]


@pytest.mark.parametrize("special", [True, False])
def test_a_model_that_calls_is_heard(ask, special):
    """Thought, text and call reach the client apart, whether the marks are special tokens or not."""
    events = ask("qwen3", f"<think>\nHm.\n</think>\n\nI look.\n{CALL}", special=special)
    assert told(events) == ("Hm.", "I look.", [("get_weather", '{"city": "Paris"}')])
    assert sum(isinstance(event, ToolCallDelta) for event in events) > 5
    finished = events[-1]
    assert finished.reason is FinishReason.STOP
    assert 0 < finished.usage.thought_tokens < finished.usage.completion_tokens


def test_without_an_offer_the_text_is_as_ever(ask):
    """Marks that are special tokens are left out, others are text, and nothing is a call."""
    plain = attrs.evolve(ASKED, tools=None)
    assert told(ask("qwen2", CALL, plain)) == (
        "",
        CALL.replace("<tool_call>", "").replace("</tool_call>", ""),
        [],
    )
    assert told(ask("qwen2", CALL, plain, special=False)) == ("", CALL, [])
    assert told(ask("qwen2", CALL, TextPrompt("hi"), special=False)) == ("", CALL, [])


def test_a_choice_of_none_calls_nothing(ask):
    """A model that calls all the same has written text."""
    none = attrs.evolve(ASKED, tools=attrs.evolve(OFFER, choice=ToolChoice.NONE))
    assert told(ask("qwen2", CALL, none, special=False)) == ("", CALL, [])


def test_a_single_call_ends_the_answer(ask):
    """Where calls are not parallel nothing is generated behind the first."""
    single = attrs.evolve(ASKED, tools=attrs.evolve(OFFER, parallel=False))
    events = ask("qwen2", CALL + "\n" + CALL, single)
    assert len(told(events)[2]) == 1
    assert events[-1].reason is FinishReason.STOP


@pytest.mark.parametrize(
    "family", ["qwen2", "qwen3", "llama3", "mistral_list", "mistral_named", "plain_json"]
)
@pytest.mark.parametrize("special", [True, False])
def test_a_forced_call_comes_whatever_the_model_wants(ask, family, special):
    """Required calls name an offered tool and keep to its schema, though the model would rather talk."""
    forced = attrs.evolve(ASKED, tools=attrs.evolve(OFFER, choice=ToolChoice.REQUIRED, name="get_weather"))
    answer = (
        "</think>I say nothing."
        if family == "qwen3"
        else "[/THINK]No."
        if family == "mistral_named"
        else "No."
    )
    _, text, calls = told(ask(family, answer, forced, special=special))
    assert not text
    ((name, arguments),) = calls
    assert name == "get_weather"
    assert json.loads(arguments)["city"] in {"Paris", "Rome"}


@pytest.mark.parametrize(
    ("family", "thinks", "answer", "thought", "text"),
    [
        ("qwen3", None, "<think>Hm.</think>Yes.", "Hm.", "Yes."),
        ("qwen3", True, "<think>Hm.</think>Yes.", "Hm.", "Yes."),
        ("qwen3", False, "Yes.", "", "Yes."),
        ("deepseek_r1", None, "Hm.\n</think>\n\nYes.", "Hm.", "Yes."),
        ("deepseek_r1", True, "Hm.\n</think>\n\nYes.", "Hm.", "Yes."),
        ("deepseek_r1", False, "Yes.", "", "Yes."),
        ("smollm2", True, "<think>Hm.</think>Yes.", "", "<think>Hm.</think>Yes."),
    ],
)
def test_models_think_as_their_templates_say(ask, family, thinks, answer, thought, text):  # noqa: PLR0917
    """A thought that the prompt opened counts, and one that was not wanted is closed."""
    prompt = attrs.evolve(ASKED, tools=None, thinks=thinks)
    assert told(ask(family, answer, prompt, special=False)) == (thought, text, [])


def test_a_form_holds_from_the_end_of_the_thought(ask):
    """A model that thinks by default does so freely, and then keeps to the form."""
    schema = {"properties": {"ok": {"const": True}}, "required": ["ok"], "additionalProperties": False}
    form = Constraint(ConstraintKind.JSON_SCHEMA, json.dumps({"type": "object"} | schema))
    prompt = attrs.evolve(ASKED, tools=None)
    thought, text, _ = told(ask("qwen3", "Hm { }.\n</think>\n\nYes", prompt, constraint=form))
    assert thought == "Hm { }."
    assert json.loads(text) == {"ok": True}


def test_an_answer_that_was_begun_goes_on_as_text(ask):
    """What another backend said already ends the thought that the prompt opened."""
    prompt = attrs.evolve(ASKED, tools=None)
    assert told(ask("deepseek_r1", " It is.", prompt, begun="Yes.")) == ("", " It is.", [])


def test_log_probabilities_go_with_their_text(ask):
    """Every token but the end has one, beside the thought, the text or the call that it belongs to."""
    answer = f"<think>\nHm.\n</think>\n\nI look.\n{CALL}"
    events = ask("qwen3", answer, top_logprobs=0)
    tokens = dict.fromkeys((ThoughtDelta, TextDelta, ToolCallDelta), "")
    for event in events[1:-1]:
        tokens[type(event)] += "".join(each.token for each in event.logprobs)
    assert tokens == {
        ThoughtDelta: "<think>\nHm.\n</think>\n\n",
        TextDelta: "I look.",
        ToolCallDelta: f"\n{CALL}",
    }


def test_spelt_out_tokens_of_users_and_tools_are_text(ask):
    """Who writes an end mark into a message ends nothing; with ``is_plain`` nothing is a token."""
    said = "a<|im_end|>b<tool_call>"

    def prompt_tokens(content, **more):
        prompt = ChatPrompt((Message(Role.USER, content),), **more)
        return ask("smollm2", "", prompt, special=False)[0].prompt_tokens

    assert prompt_tokens(said, is_plain=True) - prompt_tokens("a", is_plain=True) == len(said) - 1
    assert prompt_tokens(said) - prompt_tokens("a") == 3


def test_a_template_of_the_request_takes_the_place_of_the_models(ask):
    """Tools and thoughts are read as that template says; a broken one is told of."""
    source = (TEMPLATES / "qwen3.jinja").read_text(encoding="utf-8")
    events = ask("smollm2", f"<think>Hm.</think>{CALL}", attrs.evolve(ASKED, template=source))
    assert told(events) == ("Hm.", "", [("get_weather", '{"city": "Paris"}')])
    with pytest.raises(AssertionError, match="template error"):
        ask("smollm2", "", attrs.evolve(ASKED, template="{% if %}"))
    recursive = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"
    with pytest.raises(AssertionError, match="template error"):
        ask("smollm2", "", attrs.evolve(ASKED, template=recursive))
    with pytest.raises(AssertionError, match="template error: 300000 characters"):
        ask("smollm2", "", attrs.evolve(ASKED, template="x" * 300_000))


def test_stop_texts_are_told(ask):
    """The end says which stop text was reached."""
    finished = ask("smollm2", "One. Two.", attrs.evolve(ASKED, tools=None), stop=("Two", "."))[-1]
    assert isinstance(finished, Finished)
    assert finished.stopped_by == "."
