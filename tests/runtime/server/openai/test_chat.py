"""``POST /v1/chat/completions``."""

import json
import re

import pytest

from homeport import (
    ChatPrompt,
    ContextOverflowError,
    Finished,
    FinishReason,
    Message,
    PromptAccepted,
    Role,
    TextDelta,
    TokenLogprob,
    Usage,
)

PATH = "/v1/chat/completions"
FULL = "registry.ollama.ai/library/scripted:1b"
HI = [{"role": "user", "content": "hi"}]


async def _events(served, body: dict) -> list[str]:
    async with served.http.post(PATH, json=body | {"stream": True}) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Accel-Buffering"] == "no"
        text = await response.text()
    assert text.endswith("\n\n")
    events = text.removesuffix("\n\n").split("\n\n")
    assert all(event.startswith("data: ") for event in events)
    return [event.removeprefix("data: ") for event in events]


async def _chunks(served, body: dict) -> list[dict]:
    *events, end = await _events(served, body)
    assert end == "[DONE]"
    return [json.loads(event) for event in events]


async def _asked(served, **fields: object):
    status, answer = await served.json("POST", PATH, {"model": "scripted:1b", "messages": HI} | fields)
    assert status == 200, answer
    return served.scripted.asked[-1]


async def test_a_whole_answer(served):
    """One object with every field that strict clients want, and no key error."""
    status, answer = await served.json("POST", PATH, {"model": "Scripted:1B", "messages": HI})
    assert status == 200
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{24}", answer["id"])
    assert type(answer["created"]) is int
    assert answer == {
        "id": answer["id"],
        "object": "chat.completion",
        "created": answer["created"],
        "model": "Scripted:1B",
        "system_fingerprint": "fp_homeport",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


async def test_a_stream_names_the_role_once(served):
    """Role first, then pieces, then the reason; id, created and model are equal on all chunks."""
    chunks = await _chunks(served, {"model": "scripted:1b", "messages": HI})
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert not any("usage" in chunk for chunk in chunks)
    assert all(chunk["choices"][0]["logprobs"] is None for chunk in chunks)


async def test_usage_comes_last_when_asked_for(served):
    """The usage chunk has no choices, the others have usage null."""
    body = {"model": "scripted:1b", "messages": HI, "stream_options": {"include_usage": True}}
    *chunks, last = await _chunks(served, body)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 5


async def test_cached_tokens_are_told(served):
    """The details of the prompt say how much of it was known."""

    async def script(_):
        yield PromptAccepted(9)
        yield Finished(FinishReason.STOP, Usage(prompt_tokens=9, cached_tokens=6, completion_tokens=1))

    served.scripted.script = script
    _, answer = await served.json("POST", PATH, {"model": "scripted:1b", "messages": HI})
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 6}
    assert answer["usage"]["prompt_tokens"] == 9


async def test_an_empty_answer_still_has_role_and_reason(served):
    """A model that says nothing gives a role and a reason, and content is a text."""

    async def script(_):
        yield PromptAccepted(1)
        yield Finished(FinishReason.LENGTH, Usage())

    served.scripted.script = script
    chunks = await _chunks(served, {"model": "scripted:1b", "messages": HI})
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[1]["choices"][0]["finish_reason"] == "length"
    _, whole = await served.json("POST", PATH, {"model": "scripted:1b", "messages": HI})
    assert whole["choices"][0]["message"]["content"] == ""


async def test_several_choices_share_one_prompt(served):
    """n choices run at once with seeds of their own; the prompt is counted once."""
    status, answer = await served.json(
        "POST", PATH, {"model": "scripted:1b", "messages": HI, "n": 3, "seed": 10}
    )
    assert status == 200
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["prompt_tokens"] == 3
    assert answer["usage"]["completion_tokens"] == 6
    assert [asked.sampling.seed for asked in served.scripted.asked] == [10, 11, 12]
    assert len({asked.id for asked in served.scripted.asked}) == 3


async def test_streamed_choices_interleave_by_index(served):
    """Each choice has one role and one reason, and its pieces are in order."""
    body = {"model": "scripted:1b", "messages": HI, "n": 2, "stream_options": {"include_usage": True}}
    *chunks, last = await _chunks(served, body)
    for index in range(2):
        own = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert "".join(choice["delta"].get("content", "") for choice in own) == "Hello"
        assert sum("role" in choice["delta"] for choice in own) == 1
        assert [choice["finish_reason"] for choice in own if choice["finish_reason"]] == ["stop"]
    assert last["usage"]["completion_tokens"] == 4


async def test_log_probabilities(served):
    """Entries have bytes, or null for half a character, and top_logprobs even when empty."""

    async def script(_):
        yield PromptAccepted(1)
        yield TextDelta("a", (TokenLogprob("a", -0.5, (("a", -0.5), ("b", -1.5))),))
        yield TextDelta("", (TokenLogprob("\ufffd", -2.0),))
        yield Finished(FinishReason.STOP, Usage())

    served.scripted.script = script
    body = {"model": "scripted:1b", "messages": HI, "logprobs": True, "top_logprobs": 2}
    _, answer = await served.json("POST", PATH, body)
    logprobs = answer["choices"][0]["logprobs"]
    assert logprobs == {
        "content": [
            {
                "token": "a",
                "logprob": -0.5,
                "bytes": [97],
                "top_logprobs": [
                    {"token": "a", "logprob": -0.5, "bytes": [97]},
                    {"token": "b", "logprob": -1.5, "bytes": [98]},
                ],
            },
            {"token": "\ufffd", "logprob": -2.0, "bytes": None, "top_logprobs": []},
        ],
        "refusal": None,
    }
    chunks = await _chunks(served, body)
    streamed = [
        entry for chunk in chunks for entry in (chunk["choices"][0]["logprobs"] or {}).get("content", [])
    ]
    assert streamed == logprobs["content"]


async def test_the_request_reaches_the_backend_whole(served):
    """All sampling fields and homeport's own arrive."""
    sampling = (
        asked := await _asked(
            served,
            temperature=1.5,
            top_p=0.5,
            seed=4,
            stop="end",
            presence_penalty=-2,
            frequency_penalty=2,
            max_tokens=10,
            max_completion_tokens=20,
            top_k=3,
            min_p=0.1,
            repeat_penalty=1.1,
            num_ctx=128,
            keep_alive="10s",
            truncation="disabled",
        )
    ).sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed, sampling.stop) == (1.5, 0.5, 4, ("end",))
    assert (sampling.presence_penalty, sampling.frequency_penalty, sampling.max_tokens) == (-2, 2, 20)
    assert (sampling.top_k, sampling.min_p, sampling.repeat_penalty) == (3, 0.1, 1.1)
    assert (asked.context_length, asked.keep_alive_seconds, asked.truncate) == (128, 10.0, False)


async def test_what_is_not_given_is_the_models_then_openais(served):
    """temperature comes from the model's PARAMETER, top_p is 1, and an explicit value wins."""
    asked = await _asked(served)
    assert (asked.sampling.temperature, asked.sampling.top_k, asked.sampling.top_p) == (0.3, 7, 1.0)
    assert (asked.sampling.max_tokens, asked.sampling.stop) == (None, ("<end>", "<stop>"))
    assert (asked.truncate, asked.keep_alive_seconds, asked.context_length) == (True, None, None)
    assert (await _asked(served, temperature=0)).sampling.temperature == 0.0


async def test_messages_of_all_roles_and_kinds(served):
    """developer is system, function is tool, parts are joined, null of an assistant is empty."""
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "function", "name": "f", "content": "4"},
    ]
    assert (await _asked(served, messages=messages)).prompt == ChatPrompt(
        (
            Message(Role.SYSTEM, "be brief"),
            Message(Role.USER, "ab"),
            Message(Role.ASSISTANT, ""),
            Message(Role.ASSISTANT, "no"),
            Message(Role.TOOL, "4", tool_name="f"),
        )
    )


async def test_null_and_empty_values_ask_for_nothing(served):
    """Clients that send every field are served."""
    names = (
        "stream stream_options n max_tokens max_completion_tokens temperature top_p stop seed "
        "presence_penalty frequency_penalty logit_bias logprobs top_logprobs response_format tools "
        "tool_choice functions audio function_call modalities reasoning_effort reasoning keep_alive "
        "num_ctx ttl web_search_options"
    )
    await _asked(served, **dict.fromkeys(names.split()))
    await _asked(
        served,
        tools=[],
        logit_bias={},
        stop=[],
        response_format={"type": "text"},
        modalities=["text"],
        tool_choice="auto",
        reasoning_effort="none",
        reasoning={"effort": "xhigh"},
        logprobs=False,
        ignore_eos=False,
    )


async def test_what_other_servers_care_about_is_ignored(served):
    """Fields without meaning here are accepted, and none is echoed."""
    ignored = {
        "user": "u",
        "metadata": {"a": "b"},
        "store": True,
        "service_tier": "flex",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "verbosity": "low",
        "prediction": {"type": "content", "content": "x"},
        "moderation": {},
        "parallel_tool_calls": False,
    }
    _, answer = await served.json("POST", PATH, {"model": "echo", "messages": HI} | ignored)
    assert not set(ignored) & set(answer)


@pytest.mark.parametrize(
    ("fields", "param", "text"),
    [
        ({"model": None}, "model", "model is required"),
        ({"model": "../x"}, "model", "invalid model name"),
        ({"model": "vectors"}, "model", '"vectors" does not support chat'),
        ({"messages": []}, "messages", "[] is too short - 'messages'"),
        ({"messages": None}, "messages", "[] is too short - 'messages'"),
        ({"messages": "hi"}, "messages", "invalid request: messages: expected array, got str"),
        (
            {"messages": [{"role": "robot", "content": "x"}]},
            "messages[0].role",
            "invalid request: messages[0].role: expected one of developer, system, user, assistant",
        ),
        (
            {"messages": [{"role": "user"}]},
            "messages[0].content",
            "invalid request: messages[0].content: expected str or array, got null",
        ),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "messages[0].content",
            "invalid request: messages[0].content: expected str or array, got int",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            "messages[0].content[0].type",
            'invalid request: messages[0].content[0].type: expected one of text, refusal, got "video"',
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b"}}]}
                ]
            },
            "messages[0].content[0]",
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}
                ]
            },
            "messages[0].content[0]",
            f"{FULL} does not support vision",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0]",
            f"{FULL} does not support audio",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]},
            "messages[0].tool_calls",
            f"{FULL} does not support tools",
        ),
        ({"tools": [{"type": "function"}]}, "tools", f"{FULL} does not support tools"),
        ({"tool_choice": "required"}, "tool_choice", "tool_choice needs tools to choose from, got none"),
        ({"functions": [{"name": "f"}]}, "functions", f"{FULL} does not support tools"),
        ({"audio": {"voice": "x"}}, "audio", 'audio is not supported yet, got {"voice": "x"}'),
        ({"web_search_options": {"a": 1}}, "web_search_options", "web_search_options is not supported yet"),
        (
            {"modalities": ["text", "audio"]},
            "modalities",
            'modalities must be ["text"], got ["text", "audio"]',
        ),
        ({"n": 0}, "n", "n must be between 1 and 8, got 0"),
        ({"n": 9}, "n", "n must be between 1 and 8, got 9"),
        ({"n": 1.5}, "n", "invalid request: n: expected int, got float"),
        ({"n": True}, "n", "invalid request: n: expected int, got bool"),
        ({"temperature": 2.5}, "temperature", "temperature must be between 0 and 2, got 2.5"),
        ({"temperature": "hot"}, "temperature", "invalid request: temperature: expected float, got str"),
        ({"top_p": -0.1}, "top_p", "top_p must be between 0 and 1, got -0.1"),
        ({"presence_penalty": 3}, "presence_penalty", "presence_penalty must be between -2 and 2, got 3"),
        ({"max_tokens": -5}, "max_tokens", "max_tokens must be between 1 and 2147483647, got -5"),
        (
            {"max_completion_tokens": 0},
            "max_completion_tokens",
            "max_completion_tokens must be between 1 and 2147483647, got 0",
        ),
        ({"max_tokens": 10**30}, "max_tokens", "max_tokens must be between 1 and 2147483647, got 1000"),
        ({"stop": ["x"] * 17}, "stop", "stop must hold at most 16 texts, got 17"),
        ({"stop": 5}, "stop", "invalid request: stop: expected str or array, got int"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "top_logprobs must be between 0 and 20"),
        ({"top_logprobs": 1}, "top_logprobs", "top_logprobs needs logprobs to be true, got null"),
        ({"reasoning_effort": "x"}, "reasoning_effort", "reasoning_effort must be one of none, minimal"),
        ({"reasoning": {"effort": "x"}}, "reasoning.effort", "reasoning.effort must be one of none, minimal"),
        ({"truncation": "x"}, "truncation", 'truncation must be one of auto, disabled, got "x"'),
        ({"num_ctx": -1}, "num_ctx", "num_ctx must be between 0 and 2147483647, got -1"),
        ({"keep_alive": "x"}, "keep_alive", 'time: invalid duration "x"'),
    ],
)
async def test_what_cannot_be_served_is_named(served, fields, param, text):
    """Each refusal is a 400 that names the field and the value, and reaches no backend."""
    status, answer = await served.json("POST", PATH, {"model": "scripted:1b", "messages": HI} | fields)
    error = answer["error"]
    assert (status, error["type"], error["param"], error["code"]) == (
        400,
        "invalid_request_error",
        param,
        None,
    )
    assert error["message"].startswith(text)
    assert served.scripted.asked == []


async def test_an_unknown_model_is_told_with_its_code(served):
    """404 in OpenAI's shape, with names spelt alike beside the unchanged text."""
    status, answer = await served.json("POST", PATH, {"model": "scripted:1c", "messages": HI})
    error = answer["error"]
    assert status == 404
    assert error["message"] == "model 'scripted:1c' not found"
    assert (error["type"], error["param"], error["code"]) == ("not_found_error", "model", "model_not_found")
    assert "scripted:1b" in error["suggestions"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_over_the_window_keeps_its_status(served, stream):
    """Streamed or not, an error before the first token is a 400 with its code."""

    async def script(_):
        yield PromptAccepted(1)
        raise ContextOverflowError("too long", field="prompt")

    served.scripted.script = script
    body = {"model": "scripted:1b", "messages": HI, "truncation": "disabled", "stream": stream}
    status, answer = await served.json("POST", PATH, body)
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
    assert (answer["error"]["message"], answer["error"]["param"]) == ("too long", "messages")


async def test_route_and_truncation_stand_in_headers(served):
    """As on the other dialect."""

    async def script(_):
        yield PromptAccepted(9, truncated=True)
        yield Finished(FinishReason.STOP, Usage())

    served.scripted.script = script
    for stream in (True, False):
        body = {"model": "scripted:1b", "messages": HI, "stream": stream}
        async with served.http.post(PATH, json=body) as response:
            assert response.headers["x-homeport-truncated"] == "1"
            assert "backend=scripted" in response.headers["x-homeport-route"]
