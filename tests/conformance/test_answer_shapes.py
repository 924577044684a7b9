"""What shapes an answer of the real starter model, asked for through the official clients."""

import json

import openai
import pytest
from ollama import ResponseError

pytestmark = pytest.mark.model

MODEL = "smollm2:135m"
FULL = f"registry.ollama.ai/library/{MODEL}"
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
PROMPT = "The capital of France is"
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "people": {"type": "integer", "maximum": 99}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


@pytest.fixture
def loose_client(starter_server):
    """Where the strict types of the client contradict its API: an echo's first log-probability is null."""
    with openai.OpenAI(base_url=f"{starter_server.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def test_ollamas_format_binds_the_answer(ollama):
    """Whole, streamed, on both routes."""
    options = {"temperature": 0, "num_predict": 64}
    chat = ollama.chat(MODEL, FRANCE, format=CITY, options=options)
    assert set(json.loads(chat.message.content)) == {"city", "people"}
    pieces = ollama.chat(MODEL, FRANCE, format=CITY, options=options, stream=True)
    assert "".join(piece.message.content for piece in pieces) == chat.message.content
    generated = ollama.generate(MODEL, FRANCE[0]["content"], format=CITY, options=options)
    assert generated.response == chat.message.content


def test_response_format_binds_the_answer(openai_client):
    """As Ollama's field does."""
    answer = openai_client.chat.completions.create(
        model=MODEL,
        messages=FRANCE,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}},
        temperature=0,
        max_tokens=64,
    )
    assert set(json.loads(answer.choices[0].message.content)) == {"city", "people"}


def test_an_unsupported_keyword_is_named(ollama, openai_client):
    """A 400 before anything is computed, under the name that the client knows the field by."""
    schema = {"$dynamicRef": "#x"}
    with pytest.raises(ResponseError, match=r"invalid format: .*\$dynamicRef") as refused:
        ollama.chat(MODEL, FRANCE, format=schema)
    assert refused.value.status_code == 400
    with pytest.raises(openai.BadRequestError, match=r"invalid response_format: .*\$dynamicRef") as typed:
        openai_client.chat.completions.create(
            model=MODEL,
            messages=FRANCE,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        )
    assert typed.value.param == "response_format"


@pytest.mark.parametrize(
    ("extra", "texts"),
    [
        ({"guided_regex": "[0-9]{3}"}, [str(number).zfill(3) for number in range(1000)]),
        ({"structured_outputs": {"choice": ["Rome", "Oslo"]}}, ["Rome", "Oslo"]),
        ({"structured_outputs": {"grammar": 'start: "a" "b"'}}, ["ab"]),
    ],
)
def test_other_forms_bind_the_answer(openai_client, extra, texts):
    """Expressions, choices and grammars."""
    answer = openai_client.chat.completions.create(
        model=MODEL, messages=FRANCE, temperature=0, extra_body=extra
    )
    assert answer.choices[0].message.content in texts


def test_a_scored_text_is_as_likely_as_when_it_was_written(loose_client):
    """An echo gives tokens the log-probabilities that they had in an answer."""
    asked = {"model": MODEL, "temperature": 0, "logprobs": 1}
    written = loose_client.completions.create(prompt=PROMPT, max_tokens=2, **asked).choices[0]
    scored = loose_client.completions.create(
        prompt=PROMPT + written.text, max_tokens=0, echo=True, **asked
    ).choices[0]
    assert scored.text == PROMPT + written.text == "".join(scored.logprobs.tokens)
    assert scored.logprobs.token_logprobs[0] is None
    assert scored.logprobs.tokens[-2:] == written.logprobs.tokens
    assert scored.logprobs.token_logprobs[-2:] == pytest.approx(written.logprobs.token_logprobs, abs=0.05)
    offsets = [offset - len(PROMPT) for offset in scored.logprobs.text_offset[-2:]]
    assert offsets == written.logprobs.text_offset


def test_a_bias_decides(openai_client):
    """100 makes a token certain, -100 impossible."""
    asked = {"model": MODEL, "messages": FRANCE, "temperature": 0, "max_tokens": 3}
    plain = openai_client.chat.completions.create(**asked).choices[0].message.content
    assert plain.startswith("The")
    certain = openai_client.chat.completions.create(**asked, logit_bias={"504": 100})
    assert certain.choices[0].message.content == "TheTheThe"
    without = openai_client.chat.completions.create(**asked, logit_bias={"504": -100})
    assert not without.choices[0].message.content.startswith("The")


def test_the_end_can_be_ignored(openai_client):
    """The answer then goes on to its bound."""
    answer = openai_client.chat.completions.create(
        model=MODEL, messages=FRANCE, temperature=0, max_tokens=60, extra_body={"ignore_eos": True}
    )
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 60)


def test_a_template_of_a_request_is_used(ollama):
    """In Go's syntax: the prompt has just the tokens that it makes."""
    options = {"temperature": 0, "num_predict": 4}
    plain = ollama.generate(MODEL, PROMPT, raw=True, options=options)
    templated = ollama.generate(MODEL, "France", template="The capital of {{ .Prompt }} is", options=options)
    assert templated.response == plain.response
    assert templated.prompt_eval_count == plain.prompt_eval_count


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tools": [{"function": {"name": "f"}}]}, f"{FULL} does not support tools"),
        ({"think": True}, f'"{MODEL}" does not support thinking'),
    ],
)
def test_what_the_model_cannot_is_named(ollama, fields, text):
    """With the words of Ollama."""
    with pytest.raises(ResponseError) as refused:
        ollama.chat(MODEL, FRANCE, **fields)
    assert (refused.value.status_code, refused.value.error) == (400, text)


def test_a_model_without_gaps_is_named(ollama):
    """Its vocabulary has no tokens for them."""
    with pytest.raises(ResponseError) as refused:
        ollama.generate(MODEL, "a", suffix="b")
    assert (refused.value.status_code, refused.value.error) == (400, f"{FULL} does not support insert")
