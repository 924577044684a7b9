"""Everything that shapes an answer on OpenAI's routes."""

import json

import pytest

from homeport import InvalidRequestError, TextDelta, ThoughtDelta, TokenLogprob
from homeport.domain.constraint import Constraint, ConstraintKind

PATH = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
BODY = {"model": "speaking:1b", "messages": HI}
SCHEMA = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}}
SOURCE = json.dumps(SCHEMA, separators=(",", ":"))
BOUND = Constraint(ConstraintKind.JSON_SCHEMA, SOURCE)


async def _asked(served, speaker, **fields: object):
    status, answer = await served.json("POST", PATH, BODY | fields)
    assert status == 200, answer
    return speaker.asked[-1]


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, Constraint(ConstraintKind.JSON_OBJECT)),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
            BOUND,
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA, "strict": True}}},
            BOUND,
        ),
        ({"guided_json": SCHEMA}, BOUND),
        ({"guided_json": json.dumps(SCHEMA)}, BOUND),
        ({"guided_regex": "a+"}, Constraint(ConstraintKind.REGEX, "a+")),
        ({"structured_outputs": {}}, None),
        ({"structured_outputs": {"json": SCHEMA}}, BOUND),
        ({"structured_outputs": {"json_object": True}}, Constraint(ConstraintKind.JSON_OBJECT)),
        ({"structured_outputs": {"regex": "a+"}}, Constraint(ConstraintKind.REGEX, "a+")),
        (
            {"structured_outputs": {"choice": ["yes", 'a "no"']}},
            Constraint(ConstraintKind.GRAMMAR, 'start: "yes" | "a \\"no\\""'),
        ),
        (
            {"structured_outputs": {"grammar": 'start: "a"'}},
            Constraint(ConstraintKind.GRAMMAR, 'start: "a"'),
        ),
    ],
)
async def test_forms_of_answers(speaking, speaker, fields, constraint):
    """OpenAI's field, and those that vLLM's clients send."""
    assert (await _asked(speaking, speaker, **fields)).constraint == constraint


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}, "response_format"),
        ({"guided_regex": "("}, "guided_regex"),
        ({"structured_outputs": {"grammar": "x"}}, "structured_outputs"),
    ],
)
async def test_what_the_worker_refuses_names_the_field(speaking, speaker, stream, fields, param):
    """The worker knows it as ``format``; the client does not."""
    speaker.error = InvalidRequestError("invalid format: $dynamicRef", field="format")
    status, answer = await speaking.json("POST", PATH, BODY | fields | {"stream": stream})
    assert (status, answer["error"]["param"]) == (400, param)
    assert answer["error"]["message"] == f"invalid {param}: $dynamicRef"


async def test_token_biases_reach_the_sampler(speaking, speaker):
    """Ids and figures; the bounds are allowed, and null is not given."""
    asked = await _asked(speaking, speaker, logit_bias={"5": -100, "50256": 2.5, "0": 100})
    assert asked.sampling.logit_bias == ((5, -100.0), (50256, 2.5), (0, 100.0))
    asked = await _asked(speaking, speaker, logit_bias={"5": None, "6": 1})
    assert asked.sampling.logit_bias == ((6, 1.0),)
    many = {str(token): 1 for token in range(1024)}
    assert len((await _asked(speaking, speaker, logit_bias=many)).sampling.logit_bias) == 1024


async def test_local_extras(speaking, speaker):
    """What this server knows beyond OpenAI's fields."""
    asked = await _asked(
        speaking, speaker, ignore_eos=True, ttl=60, num_ctx=128, top_k=3, min_p=0.1, repetition_penalty=1.2
    )
    assert asked.sampling.ignores_end
    assert (asked.keep_alive_seconds, asked.context_length) == (60, 128)
    assert (asked.sampling.top_k, asked.sampling.min_p, asked.sampling.repeat_penalty) == (3, 0.1, 1.2)
    both = await _asked(speaking, speaker, ttl=60, keep_alive="2m")
    assert both.keep_alive_seconds == 120
    assert not both.sampling.ignores_end


@pytest.mark.parametrize(
    ("fields", "thinks", "effort"),
    [
        ({}, None, ""),
        ({"reasoning_effort": "none"}, False, ""),
        ({"reasoning_effort": "minimal"}, True, "low"),
        ({"reasoning": {"effort": "xhigh"}}, True, "max"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, True, "high"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False, ""),
        ({"chat_template_kwargs": {"thinking": True}, "reasoning_effort": "none"}, False, ""),
    ],
)
async def test_efforts_reach_the_model(speaking, speaker, fields, thinks, effort):
    """In any of the places where clients put them."""
    prompt = (await _asked(speaking, speaker, **fields)).prompt
    assert (prompt.thinks, prompt.effort, prompt.template_values) == (thinks, effort, {})


async def test_further_values_reach_the_template(speaking, speaker):
    """Scalars, and lists of them."""
    values = {"tone": "kind", "words": [1, 2.5, None, "x"], "deep": True}
    assert (await _asked(speaking, speaker, chat_template_kwargs=values)).prompt.template_values == values


async def test_log_probabilities_leave_thoughts_out(speaking, speaker):
    """They add up to the content."""
    speaker.says = [
        ThoughtDelta("hm", (TokenLogprob("hm", -0.5),)),
        TextDelta("so", (TokenLogprob("so", -1.5),)),
    ]
    _, answer = await speaking.json("POST", PATH, BODY | {"logprobs": True})
    (choice,) = answer["choices"]
    assert [entry["token"] for entry in choice["logprobs"]["content"]] == ["so"]
    assert (choice["message"]["content"], choice["message"]["reasoning"]) == ("so", "hm")


@pytest.mark.parametrize(
    ("fields", "param", "text"),
    [
        (
            {"response_format": {"type": "xml"}},
            "response_format.type",
            'response_format.type must be one of text, json_object, json_schema, got "xml"',
        ),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "response_format.json_schema.schema is required",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": []}}},
            "response_format.json_schema.schema",
            "invalid request: response_format.json_schema.schema: expected object, got array",
        ),
        ({"guided_json": "{"}, "guided_json", "invalid request: body: "),
        ({"guided_json": "[]"}, "guided_json", "invalid request: guided_json: expected object, got []"),
        ({"guided_regex": ""}, "guided_regex", "guided_regex must hold 1 to 65536 bytes, got 0"),
        (
            {"structured_outputs": {"choice": []}},
            "structured_outputs.choice",
            "structured_outputs.choice must hold texts, got []",
        ),
        (
            {"guided_regex": "a", "response_format": {"type": "json_object"}},
            "guided_regex",
            "guided_regex cannot stand beside response_format: an answer has one form",
        ),
        (
            {"logit_bias": {"5": 101}},
            "logit_bias",
            "logit_bias.5 must be between -100.0 and 100.0",
        ),
        ({"logit_bias": {"x": 1}}, "logit_bias", 'logit_bias must map token ids, got "x"'),
        ({"logit_bias": {"-1": 1}}, "logit_bias", 'logit_bias must map token ids, got "-1"'),
        ({"logit_bias": {"9" * 30: 1}}, "logit_bias", "logit_bias must map token ids, got"),
        ({"logit_bias": {"²": 1}}, "logit_bias", "logit_bias must map token ids, got"),
        ({"logit_bias": {"5": "x"}}, "logit_bias[...]", "invalid request: logit_bias[...]: expected float"),
        (
            {"logit_bias": {str(token): 1 for token in range(1025)}},
            "logit_bias",
            "logit_bias must hold at most 1024 tokens, got 1025",
        ),
        ({"ttl": -1}, "ttl", "ttl must be between 0 and 2147483647, got -1.0"),
        (
            {"chat_template_kwargs": {"messages": []}},
            "chat_template_kwargs",
            'chat_template_kwargs must not hold "messages"',
        ),
        (
            {"chat_template_kwargs": {"__class__": 1}},
            "chat_template_kwargs",
            'chat_template_kwargs must not hold "__class__"',
        ),
        (
            {"chat_template_kwargs": {"a": {"b": 1}}},
            "chat_template_kwargs.a",
            "chat_template_kwargs.a must be a scalar or a list of scalars",
        ),
        (
            {"chat_template_kwargs": {f"a{n}": 1 for n in range(33)}},
            "chat_template_kwargs",
            "chat_template_kwargs must hold at most 32 values, got 33",
        ),
        (
            {"chat_template_kwargs": {"a": "x" * 4097}},
            "chat_template_kwargs.a",
            "chat_template_kwargs.a must hold at most 4096 characters, got 4097",
        ),
    ],
)
async def test_what_cannot_be_asked_for_is_named(speaking, speaker, fields, param, text):
    """Each refusal is a 400 that names the field, and reaches no backend."""
    status, answer = await speaking.json("POST", PATH, BODY | fields)
    assert (status, answer["error"]["param"]) == (400, param)
    assert answer["error"]["message"].startswith(text)
    assert speaker.asked == []
