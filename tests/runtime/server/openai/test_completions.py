"""``POST /v1/completions``."""

import json
import re

import pytest

from homeport import (
    Finished,
    FinishReason,
    PromptAccepted,
    TextDelta,
    TextPrompt,
    TokenLogprob,
    TokenPrompt,
    Usage,
)

PATH = "/v1/completions"


async def _chunks(served, body: dict) -> list[dict]:
    async with served.http.post(PATH, json=body | {"stream": True}) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        *events, end, rest = (await response.text()).split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


async def test_a_whole_answer(served):
    """Text after the prompt as it is, with all fields that clients read."""
    status, answer = await served.json("POST", PATH, {"model": "echo", "prompt": "a b"})
    assert status == 200
    assert re.fullmatch(r"cmpl-[0-9a-f]{24}", answer["id"])
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [{"index": 0, "text": "a b", "logprobs": None, "finish_reason": "stop"}]
    assert answer["usage"]["total_tokens"] == 4
    assert answer["system_fingerprint"] == "fp_homeport"


async def test_a_stream_ends_each_choice_with_its_reason(served):
    """Pieces have no reason, the last chunk of a choice has one."""
    chunks = await _chunks(served, {"model": "echo", "prompt": "a b", "max_tokens": 1})
    assert [(c["choices"][0]["text"], c["choices"][0]["finish_reason"]) for c in chunks] == [
        ("a", None),
        ("", "length"),
    ]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", [TextPrompt("a")]),
        (["a", "b"], [TextPrompt("a"), TextPrompt("b")]),
        ([1, 2], [TokenPrompt((1, 2))]),
        ([[1], [2, 3]], [TokenPrompt((1,)), TokenPrompt((2, 3))]),
    ],
)
async def test_prompts_are_texts_or_token_ids(served, prompt, prompts):
    """Four forms, none of them templated."""
    status, _ = await served.json("POST", PATH, {"model": "scripted:1b", "prompt": prompt})
    assert status == 200
    assert [asked.prompt for asked in served.scripted.asked] == prompts


async def test_choices_are_prompt_major(served):
    """All choices of the first prompt come before those of the second; each prompt is counted once."""
    _, answer = await served.json("POST", PATH, {"model": "echo", "prompt": ["a", "b c"], "n": 2})
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == [
        (0, "a"),
        (1, "a"),
        (2, "b c"),
        (3, "b c"),
    ]
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (3, 6)


async def test_echo_puts_the_prompt_first(served):
    """Whole and streamed, for each prompt its own."""
    body = {"model": "scripted:1b", "prompt": ["a: ", "b: "], "echo": True}
    _, answer = await served.json("POST", PATH, body)
    assert [choice["text"] for choice in answer["choices"]] == ["a: Hello", "b: Hello"]
    chunks = await _chunks(served, body)
    texts = [
        "".join(c["choices"][0]["text"] for c in chunks if c["choices"][0]["index"] == i) for i in (0, 1)
    ]
    assert texts == ["a: Hello", "b: Hello"]


async def test_log_probabilities(served):
    """Tokens, figures, alternatives with the chosen one, and offsets into the text."""

    async def script(_):
        yield PromptAccepted(1)
        yield TextDelta("ab", (TokenLogprob("ab", -0.5, (("x", -0.2),)),))
        yield TextDelta("c", (TokenLogprob("c", -1.5, ()),))
        yield Finished(FinishReason.STOP, Usage())

    served.scripted.script = script
    body = {"model": "scripted:1b", "prompt": "p", "logprobs": 1}
    _, answer = await served.json("POST", PATH, body)
    assert answer["choices"][0]["logprobs"] == {
        "tokens": ["ab", "c"],
        "token_logprobs": [-0.5, -1.5],
        "top_logprobs": [{"x": -0.2, "ab": -0.5}, {"c": -1.5}],
        "text_offset": [0, 2],
    }
    assert served.scripted.asked[0].sampling.top_logprobs == 1
    chunks = await _chunks(served, body)
    assert [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in chunks[:2]] == [[0], [2]]


async def test_no_tokens_may_be_asked_for(served):
    """max_tokens 0 is a bound like any other here."""
    await served.json("POST", PATH, {"model": "scripted:1b", "prompt": "p", "max_tokens": 0})
    assert served.scripted.asked[0].sampling.max_tokens == 0


async def test_null_and_empty_values_ask_for_nothing(served):
    """Clients that send every field are served."""
    names = "suffix best_of echo logprobs n stop stream max_tokens logit_bias user"
    body = {"model": "echo", "prompt": "a"}
    assert (await served.json("POST", PATH, body | dict.fromkeys(names.split())))[0] == 200
    assert (await served.json("POST", PATH, body | {"suffix": "", "best_of": 1, "echo": False}))[0] == 200


@pytest.mark.parametrize(
    ("fields", "param", "text"),
    [
        ({"prompt": None}, "prompt", "prompt must not be empty, got null"),
        ({"prompt": []}, "prompt", "prompt must not be empty, got []"),
        ({"prompt": ""}, "prompt", 'prompt must not be empty, got ""'),
        ({"prompt": ["a", ""]}, "prompt", 'prompt must not be empty, got ["a", ""]'),
        ({"prompt": [1, "a"]}, "prompt", "invalid request: prompt: expected only texts"),
        ({"prompt": ["a", [1]]}, "prompt", "invalid request: prompt: expected only texts"),
        ({"prompt": [1, -2]}, "prompt", "prompt[1] must be between 0 and 2147483647, got -2"),
        ({"prompt": [[1], [2**40]]}, "prompt[1]", "prompt[1][0] must be between 0 and 2147483647"),
        (
            {"prompt": [1.5]},
            "prompt[0]",
            "invalid request: prompt[0]: expected int or str or array, got float",
        ),
        ({"prompt": ["a"] * 65}, "prompt", "prompt must hold at most 64 texts, got 65"),
        ({"prompt": ["a"] * 9, "n": 8}, "prompt", "prompt must hold at most 8 texts, got 9"),
        ({"suffix": "x"}, "suffix", "registry.ollama.ai/library/scripted:1b does not support insert"),
        ({"best_of": 3}, "best_of", "best_of must be at most n, which is 1, got 3"),
        ({"logprobs": 6}, "logprobs", "logprobs must be between 0 and 5, got 6"),
        ({"logprobs": True}, "logprobs", "invalid request: logprobs: expected int, got bool"),
        ({"max_tokens": -1}, "max_tokens", "max_tokens must be between 0 and 2147483647, got -1"),
        ({"model": "vectors"}, "model", '"vectors" does not support generate'),
    ],
)
async def test_what_cannot_be_served_is_named(served, fields, param, text):
    """Each refusal is a 400 that names the field and the value, and reaches no backend."""
    status, answer = await served.json("POST", PATH, {"model": "scripted:1b", "prompt": "p"} | fields)
    error = answer["error"]
    assert (status, error["type"], error["param"], error["code"]) == (
        400,
        "invalid_request_error",
        param,
        None,
    )
    assert error["message"].startswith(text)
    assert served.scripted.asked == []
