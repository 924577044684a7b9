"""Forms of answers in the engine: which are refused, and what they leave as it is."""

import json
import shutil
import threading

import attrs
import pytest

from homeport import (
    ChatPrompt,
    Constraint,
    ConstraintKind,
    Finished,
    GenerationRequest,
    InvalidRequestError,
    LoadPlan,
    Message,
    OverloadedError,
    PromptAccepted,
    Role,
    Sampling,
    TextDelta,
    TextPrompt,
    ThoughtDelta,
    Tool,
    ToolCallDelta,
    ToolChoice,
    ToolOffer,
)
from homeport.engine import grammar_queue
from homeport.engine.engine import Engine
from homeport.engine.options import EngineOptions
from homeport.engine.tokenizer import TextTokenizer
from homeport.testing.tiny_model import ChecksumModel, checksum_answer

PLAN = LoadPlan(context_length=512, slots=4, threads=1)
NOISE = Sampling(temperature=1, top_p=1, seed=3, max_tokens=200)
THOUGHT = b"<think>\nHm, {who} is it?</think>"
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def by_schema(schema):
    return Constraint(ConstraintKind.JSON_SCHEMA, json.dumps(schema))


class Counting(ChecksumModel):
    """Counts its steps, and the tokens that were there before they were chosen."""

    def __init__(self):
        super().__init__()
        self.steps = 0
        self.guessed = 0

    def forward(self, batch):
        self.steps += 1
        self.guessed += sum(max(row.logits - 1, 0) for row in batch.rows)
        return super().forward(batch)


@pytest.fixture
def make_engine(tiny_folder, tokenizer):
    """Build an engine around a checksum model."""

    def make(model=None, plan=PLAN, **options):
        model = model or ChecksumModel()
        facts = model.load(tiny_folder, plan)
        return Engine(model, facts, tokenizer, plan, options=EngineOptions(**options))

    return make


def ask(request_id, constraint=None, sampling=NOISE, prompt="Who?", **more):
    if isinstance(prompt, str):
        prompt = TextPrompt(prompt)
    return GenerationRequest(
        id=request_id, model="tiny", prompt=prompt, sampling=sampling, constraint=constraint, **more
    )


def run(engine, *requests):
    """Submit all, step until idle, and give each request's events."""
    events = {request.id: [] for request in requests}
    told = [event for request in requests for event in engine.submit(request)]
    while engine.busy:
        told += engine.step()
    for event in told:
        events[event.request_id].append(event.event)
    return events


def text_of(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


REFUSED = {
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "not": {"properties": {"a": {"not": {}}}},
    "contains": {"contains": {}},
    "if": {"if": {}, "then": {}},
    "dependentRequired": {"dependentRequired": {"a": ["b"]}},
    "propertyNames": {"propertyNames": {"maxLength": 2}},
    "unevaluatedProperties": {"unevaluatedProperties": False},
    "$dynamicRef": {"$dynamicRef": "#a"},
    "divisibleBy": {"divisibleBy": 2},
    "format 'colour'": {"type": "string", "format": "colour"},
    "multipleOf 0.1": {"type": "number", "multipleOf": 0.1},
    "multipleOf beyond 20000": {"type": "integer", "multipleOf": 999_983},
    "minProperties": {"type": "object", "minProperties": 3},
    "enum with the control character": {"enum": ["\x01"]},
    "'$ref' must point": {"$ref": "http://example.com/schema"},
    "got '#/$defs/none'": {"$ref": "#/$defs/none"},
    "'type' must be one of": {"type": "objekt"},
    "got 'text'": {"items": "text"},
    "'pattern'": {"pattern": "[a&&b]"},
    "minimum 1e+30, beyond": {"type": "integer", "minimum": 1e30},
    "oneOf": {"oneOf": [{"type": "number"}, {"type": "integer"}]},
    "look-around": {"pattern": "(?=a)b"},
    "deeper than 64 levels": json.loads('{"items":' * 70 + "{}" + "}" * 70),
    "minLength (5) is greater than maxLength (2)": {"type": "string", "minLength": 5, "maxLength": 2},
    "cannot be followed": {"$ref": "#"},
}


@pytest.mark.parametrize(("named", "schema"), REFUSED.items(), ids=range(len(REFUSED)))
def test_schema_that_cannot_be_enforced_is_refused_by_name(make_engine, named, schema):
    """Nothing is accepted of a request whose keyword, format or number would be ignored."""
    (refusal,) = run(make_engine(), ask("a", by_schema(schema)))["a"]
    assert isinstance(refusal, InvalidRequestError)
    assert refusal.field == "format"
    assert named in str(refusal)


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("json_schema", "{"),
        ("json_schema", "[1]"),
        ("json_schema", "false"),
        ("json_schema", '{"const": NaN}'),
        ("json_schema", '{"const": 1e999}'),
        ("json_schema", "[" * 100_000),
        ("json_schema", '{"title": "' + "x" * 300_000 + '"}'),
        ("json_schema", '{"const": "\\ud800"}'),
        ("regex", "("),
        ("regex", "(a{1000}){1000}"),
        ("grammar", "start: missing"),
        ("grammar", "no grammar"),
        ("grammar", ""),
    ],
)
def test_broken_form_is_refused(make_engine, kind, source):
    """What is no schema, expression or grammar, or is too large, is an error of the request."""
    (refusal,) = run(make_engine(), ask("a", Constraint(ConstraintKind(kind), source)))["a"]
    assert isinstance(refusal, InvalidRequestError)
    assert refusal.field == "format"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "(a+)+$"},
        {"enum": [f"{number:05x}" for number in range(4000)]},
        {"type": "string", "maxLength": 10**9},
        {"type": "array", "items": {"type": "array", "maxItems": 10**6}, "maxItems": 10**9},
        {"allOf": [{"anyOf": [{"minLength": a}, {"minLength": b}]} for a in range(10) for b in range(6)]},
        {"type": "string", "allOf": [{"pattern": f"a.*{chr(98 + number % 20)}"} for number in range(40)]},
    ],
    ids=["nested-plus", "large-enum", "long-text", "large-arrays", "product", "patterns"],
)
def test_hostile_form_ends_or_is_refused_and_others_go_on(make_engine, schema):
    """Beside a form made to take long, an ordinary request is answered as ever, and soon."""
    engine = make_engine()
    short = attrs.evolve(NOISE, max_tokens=20)
    events = run(engine, ask("hostile", by_schema(schema), short), ask("plain", sampling=short))
    assert isinstance(events["plain"][-1], Finished)
    assert isinstance(events["hostile"][-1], Finished | InvalidRequestError)


def test_form_of_one_answer_leaves_those_beside_it_as_they_are(make_engine):
    """Free answers in the batch of constrained ones are what they are alone."""
    greedy = Sampling(temperature=0, max_tokens=40)
    formed = [ask(f"f{number}", by_schema(PERSON), attrs.evolve(NOISE, seed=number)) for number in range(4)]
    events = run(make_engine(), *formed, ask("free", None, greedy, "hello"))
    assert text_of(events["free"]) == checksum_answer("hello", 40)
    for request in formed:
        person = json.loads(text_of(events[request.id]))
        assert person.keys() == {"name", "age"}
        assert isinstance(events[request.id][0], PromptAccepted)


def test_answer_alone_equals_the_answer_in_a_batch_and_without_guesses(make_engine):
    """Seeded constrained answers do not depend on what runs beside them, or on forced tokens at once."""
    requests = [ask(f"{number}", by_schema(PERSON), attrs.evolve(NOISE, seed=number)) for number in range(6)]
    together = run(make_engine(), *requests)
    for request in requests:
        alone = run(make_engine(speculates=False), request)[request.id]
        assert text_of(alone) == text_of(together[request.id])
        assert alone[-1].context == together[request.id][-1].context


def test_forced_tokens_are_computed_together(make_engine):
    """Keys and punctuation that a form forces take no step each."""
    model = Counting()
    end = run(make_engine(model), ask("a", by_schema(PERSON)))["a"][-1]
    assert model.guessed > 10
    assert model.steps < end.usage.completion_tokens - 10
    assert end.usage.drafted_tokens == 0


def test_swapped_out_answer_keeps_its_place_in_its_form(make_engine):
    """With memory for few, answers that give way to others still have their form."""
    plan = attrs.evolve(PLAN, cache_bytes=8 * 160)
    requests = [
        ask(f"{number}", by_schema(PERSON), attrs.evolve(NOISE, seed=number), "Who? " * 18)
        for number in range(5)
    ]
    events = run(make_engine(plan=plan), *requests)
    for request in requests:
        assert text_of(events[request.id]) == text_of(run(make_engine(), request)[request.id])


def test_answer_that_was_begun_goes_on_in_its_form(make_engine):
    """The text that is there already is the beginning of the form, and is not repeated."""
    begun = '{"name": "Jo'
    events = run(make_engine(), ask("a", by_schema(PERSON), begun=begun))["a"]
    assert json.loads(begun + text_of(events))["name"].startswith("Jo")


def test_begun_text_of_another_form_is_an_error(make_engine):
    """Nothing is generated behind text that the form does not allow."""
    (error,) = run(make_engine(), ask("a", by_schema(PERSON), begun="Sure! "))["a"]
    assert "does not have the form" in str(error)


def test_bound_of_tokens_cuts_an_answer(make_engine):
    """``max_tokens`` ends a constrained answer wherever it is, with reason length."""
    events = run(make_engine(), ask("a", by_schema(PERSON), attrs.evolve(NOISE, max_tokens=7)))["a"]
    assert events[-1].reason == "length"
    assert events[-1].usage.completion_tokens == 7


def test_stop_text_ends_a_constrained_answer_too(make_engine):
    """As in Ollama, what a client asks to stop at comes before the form."""
    events = run(make_engine(), ask("a", by_schema(PERSON), attrs.evolve(NOISE, stop=(",",))))["a"]
    assert text_of(events).startswith('{"name": "')
    assert events[-1].stopped_by == ","


def test_answer_ends_where_nothing_may_follow(make_engine):
    """No step is spent on an end that is certain."""
    events = run(make_engine(), ask("a", by_schema({"const": "yes"})))["a"]
    assert text_of(events) == '"yes"'
    assert events[-1].reason == "stop"
    assert events[-1].usage.completion_tokens == 5


def test_ignored_end_still_ends_a_form(make_engine):
    """A form that is complete ends the answer, although the model's own end would not."""
    sampling = attrs.evolve(NOISE, ignores_end=True)
    events = run(make_engine(), ask("a", Constraint(ConstraintKind.REGEX, "[ab]{2,4}"), sampling))["a"]
    assert events[-1].reason == "stop"
    assert 2 <= len(text_of(events)) <= 4


def test_log_probabilities_are_those_before_the_form(make_engine):
    """What the form leaves out counts in the normaliser."""
    sampling = Sampling(temperature=0, top_logprobs=2, max_tokens=50)
    events = run(make_engine(), ask("a", by_schema({"const": "x"}), sampling))["a"]
    told = [entry for event in events if isinstance(event, TextDelta) for entry in event.logprobs]
    assert [entry.token for entry in told] == ['"', "x", '"']
    assert all(entry.logprob < -9 for entry in told if entry.token != entry.alternatives[0][0])


class Thinking(ChecksumModel):
    """Thinks aloud first, and is noise behind its thought."""

    def _next_byte(self, sequence):
        said = bytes(sequence).rpartition(b"assistant:")[2]
        return (
            THOUGHT[len(said)]
            if THOUGHT.startswith(said) and said != THOUGHT
            else super()._next_byte(sequence)
        )


@pytest.mark.parametrize("opens", [True, False], ids=["opened by the template", "opened by the form"])
def test_form_begins_where_the_thought_has_ended(tiny_folder, tmp_path, opens):
    """Thoughts are free; what is said behind them has its form."""
    folder = tmp_path / "thinking"
    shutil.copytree(tiny_folder, folder)
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}assistant:"
    template += THOUGHT[:8].decode() if opens else "{# enable_thinking #}"
    described = {"eos_token": "<end>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    model = Thinking()
    engine = Engine(model, model.load(folder, PLAN), TextTokenizer(folder), PLAN)
    prompt = ChatPrompt((Message(Role.USER, "Who?"),))
    told = run(engine, ask("a", by_schema(PERSON), NOISE, prompt))["a"]
    thought = "".join(event.text for event in told if isinstance(event, ThoughtDelta))
    assert thought == "Hm, {who} is it?"
    assert json.loads(text_of(told)).keys() == {"name", "age"}
    assert told[-1].usage.thought_tokens > 10


def test_cancelled_while_its_form_is_compiled(make_engine):
    """A request that waits for its grammar is forgotten when its client goes."""
    engine = make_engine()
    slow = {"type": "string", "allOf": [{"pattern": f"a.*{chr(98 + number)}"} for number in range(24)]}
    assert engine.submit(ask("a", by_schema(slow))) == []
    assert engine.busy
    engine.cancel("a")
    assert not engine.busy


class SlowlyRead(TextTokenizer):
    """A tokenizer whose vocabulary takes longer to read than any grammar may take to compile."""

    reads = 0

    def definition(self):
        self.reads += 1
        threading.Event().wait(0.3)
        return super().definition()


def test_reading_the_vocabulary_is_not_the_time_of_a_grammar(tiny_folder, monkeypatch):
    """On a machine under load the vocabulary takes seconds: no small form is refused for that."""
    monkeypatch.setattr(grammar_queue, "MOST_COMPILE_SECONDS", 0.2)
    model = ChecksumModel()
    engine = Engine(model, model.load(tiny_folder, PLAN), SlowlyRead(tiny_folder), PLAN)
    expression = Constraint(ConstraintKind.REGEX, "[ab]{3}")
    told = run(engine, *(ask(f"{number}", expression) for number in range(4)))
    assert all(len(text_of(events)) == 3 for events in told.values())


def test_grammar_that_gets_no_thread_is_overload(make_engine, monkeypatch):
    """Behind others that take too long a request is told to come again, and not that it is wrong."""
    monkeypatch.setattr(grammar_queue, "MOST_QUEUE_SECONDS", 0.1)
    monkeypatch.setattr(grammar_queue, "MOST_COMPILE_SECONDS", 0.5)
    slow = [
        by_schema(
            {
                "type": "string",
                "allOf": [{"pattern": f"a.*{chr(98 + first + number)}"} for number in range(24)],
            }
        )
        for first in range(2)
    ]
    requests = [ask(f"{number}", each) for number, each in enumerate([*slow, by_schema({"const": 1})])]
    (told,) = run(make_engine(), *requests)["2"]
    assert isinstance(told, OverloadedError)


def test_prepared_engine_has_read_the_vocabulary(tiny_folder):
    """What is done while a worker is idle, once, no request has to wait for."""
    model = ChecksumModel()
    tokenizer = SlowlyRead(tiny_folder)
    engine = Engine(model, model.load(tiny_folder, PLAN), tokenizer, PLAN)
    engine.prepare()
    engine.prepare()
    run(engine, ask("a", Constraint(ConstraintKind.REGEX, "[ab]{3}")))
    assert tokenizer.reads == 1


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, {}),
        ({"type": "object", "properties": {}}, {}),
        ({"properties": {"a": {"const": 1}}, "required": ["a"]}, {"a": 1}),
        ({"properties": {"a": {"const": 1}}, "required": ["a"], "minProperties": 1}, {"a": 1}),
        ({"type": ["object", "null"], "properties": {"a": {"const": 1}}, "required": ["a"]}, {"a": 1}),
    ],
)
def test_forced_arguments_are_an_object_of_the_keys_that_a_tool_names(make_engine, parameters, expected):
    """A tool that names no keys is called without arguments, however noisy the model."""
    tool = Tool(name="look", parameters=parameters)
    offer = ToolOffer(tools=(tool,), choice=ToolChoice.REQUIRED, parallel=False)
    prompt = ChatPrompt((Message(Role.USER, "?"),), tools=offer)
    told = run(make_engine(), ask("a", None, NOISE, prompt))["a"]
    calls = [event for event in told if isinstance(event, ToolCallDelta)]
    arguments = json.loads("".join(call.arguments for call in calls))
    assert {key: arguments[key] for key in expected} == expected
    assert arguments.keys() == expected.keys() or "minProperties" in parameters


def test_forced_arguments_with_a_required_key_that_has_no_schema_are_possible(make_engine):
    """A key that is required and not described may be anything, and is there."""
    tool = Tool(name="look", parameters={"properties": {"a": {"const": 1}}, "required": ["a", "b"]})
    offer = ToolOffer(tools=(tool,), choice=ToolChoice.REQUIRED, parallel=False)
    prompt = ChatPrompt((Message(Role.USER, "?"),), tools=offer)
    told = run(make_engine(), ask("a", None, NOISE, prompt))["a"]
    assert isinstance(told[-1], Finished)


TOOLS = (
    Tool(
        name="look",
        parameters={
            "type": "object",
            "properties": {"at": {"enum": ["sky", "sea"]}},
            "required": ["at"],
            "additionalProperties": False,
        },
    ),
    Tool(name="wait", parameters={"type": "object", "properties": {}, "additionalProperties": False}),
)


@pytest.mark.parametrize("name", ["", "look"])
def test_forced_call_is_a_call_of_an_offered_tool(make_engine, name):
    """A model of noise that must call calls, with arguments that the tool's schema allows."""
    offer = ToolOffer(tools=TOOLS, choice=ToolChoice.REQUIRED, name=name, parallel=False)
    prompt = ChatPrompt((Message(Role.USER, "?"),), tools=offer)
    for seed in range(8):
        told = run(make_engine(), ask("a", None, attrs.evolve(NOISE, seed=seed), prompt))["a"]
        calls = [event for event in told if isinstance(event, ToolCallDelta)]
        assert not text_of(told)
        called = next(call.name for call in calls if call.name)
        arguments = json.loads("".join(call.arguments for call in calls))
        assert called == name or not name
        assert arguments in ([{"at": "sky"}, {"at": "sea"}] if called == "look" else [{}])


def test_forced_call_of_a_tool_that_cannot_be_enforced_names_the_keyword(make_engine):
    """The error is the tools', not the format's."""
    tool = Tool(name="look", parameters={"type": "object", "properties": {"at": {"not": {}}}})
    offer = ToolOffer(tools=(tool,), choice=ToolChoice.REQUIRED)
    prompt = ChatPrompt((Message(Role.USER, "?"),), tools=offer)
    (refusal,) = run(make_engine(), ask("a", None, NOISE, prompt))["a"]
    assert refusal.field == "tools"
    assert "not" in str(refusal)


def test_form_and_free_choice_of_tools_gives_the_form_or_a_call(make_engine):
    """Where a model may call tools and must answer in a form, it does one of both."""
    offer = ToolOffer(tools=TOOLS, parallel=False)
    prompt = ChatPrompt((Message(Role.USER, "?"),), tools=offer)
    constraint = Constraint(ConstraintKind.REGEX, "[xyz]{3}")
    kinds = set()
    for seed in range(20):
        told = run(make_engine(), ask("a", constraint, attrs.evolve(NOISE, seed=seed), prompt))["a"]
        assert told[-1].reason == "stop"
        calls = [event for event in told if isinstance(event, ToolCallDelta)]
        kinds.add(bool(calls))
        assert calls or len(text_of(told)) == 3
    assert kinds == {True, False}


def test_object_with_named_keys_gets_no_others(make_engine):
    """A schema that does not speak of further keys gets none, as in Ollama; one made of parts gets all."""
    plain = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    parts = {"allOf": [plain, {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}]}
    for seed in range(6):
        sampling = attrs.evolve(NOISE, seed=seed)
        told = run(
            make_engine(), ask("plain", by_schema(plain), sampling), ask("parts", by_schema(parts), sampling)
        )
        assert json.loads(text_of(told["plain"])).keys() == {"a"}
        if told["parts"][-1].reason == "stop":
            assert json.loads(text_of(told["parts"])).keys() >= {"a", "b"}
