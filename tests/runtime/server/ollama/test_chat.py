"""``POST /api/chat``."""

import json

import pytest

from homeport import ChatPrompt, Message, Role

PATH = "/api/chat"
FULL = "registry.ollama.ai/library/scripted:1b"
HI = [{"role": "user", "content": "hi"}]


async def test_it_streams_messages(served):
    """Each line holds a message of the assistant with a text, the last one figures."""
    async with served.http.post(PATH, json={"model": "echo", "messages": HI}) as response:
        assert response.content_type == "application/x-ndjson"
        piece, last = [json.loads(line) for line in (await response.text()).splitlines()]
    assert set(piece) == {"model", "created_at", "message", "done"}
    assert piece["message"] == {"role": "assistant", "content": "hi"}
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["done"], last["done_reason"], last["eval_count"]) == (True, "stop", 1)


async def test_a_whole_answer_has_no_context(served):
    """Chat continues by messages, not by token ids."""
    status, answer = await served.json(
        "POST", PATH, {"model": "scripted:1b", "messages": HI, "stream": False}
    )
    assert (status, answer["message"]["content"]) == (200, "Hello")
    assert "context" not in answer


async def test_messages_arrive_in_order(served):
    """Roles in any case, missing and null contents, and fields of later models are understood."""
    messages = [
        {"role": "System", "content": "be brief"},
        {"role": "user"},
        {"role": "assistant", "content": None, "thinking": "hm", "tool_calls": None, "images": []},
        {"role": "tool", "content": "4", "tool_name": "add"},
    ]
    await served.json("POST", PATH, {"model": "scripted:1b", "messages": messages, "stream": False})
    assert served.scripted.asked[0].prompt == ChatPrompt(
        (
            Message(Role.SYSTEM, "be brief"),
            Message(Role.USER, ""),
            Message(Role.ASSISTANT, "", thinking="hm"),
            Message(Role.TOOL, "4", tool_name="add"),
        )
    )


@pytest.mark.parametrize("messages", [None, []])
@pytest.mark.parametrize(("keep_alive", "reason"), [(None, "load"), ("5m", "load"), (0, "unload")])
async def test_no_messages_load_or_unload(served, messages, keep_alive, reason):
    """One object that says which."""
    body = {"model": "scripted:1b", "messages": messages, "keep_alive": keep_alive}
    status, answer = await served.json("POST", PATH, body)
    assert status == 200
    assert answer == {
        "model": "scripted:1b",
        "created_at": answer["created_at"],
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": reason,
    }


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"model": ""}, 400, "model is required"),
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"model": "vectors"}, 400, '"vectors" does not support chat'),
        ({"think": "high"}, 400, '"scripted:1b" does not support thinking'),
        ({"messages": [], "options": {"num_ctx": "x"}}, 400, 'option "num_ctx" must be of type integer'),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, f"{FULL} does not support tools"),
        ({"messages": [{"role": "user", "images": ["aGk="]}]}, 400, f"{FULL} does not support vision"),
        (
            {"messages": [*HI, {"role": "assistant", "tool_calls": [{}]}]},
            400,
            f"{FULL} does not support tools",
        ),
        (
            {"messages": [*HI, {"role": "robot", "content": "x"}]},
            400,
            'invalid request: messages[1].role: expected one of system, user, assistant, tool, got "robot"',
        ),
        (
            {"messages": [{"content": "x"}]},
            400,
            "invalid request: messages[0].role: expected one of system, user, assistant, tool, got null",
        ),
        ({"messages": {}}, 400, "invalid request: messages: expected array, got object"),
        ({"messages": ["hi"]}, 400, "invalid request: messages[0]: expected object, got str"),
    ],
)
async def test_what_cannot_be_served_is_named(served, fields, status, text):
    """Each refusal has its status and text, and reaches no backend."""
    answer = await served.json("POST", PATH, {"model": "scripted:1b", "messages": HI} | fields)
    assert (answer[0], answer[1]["error"]) == (status, text)
    assert served.scripted.asked == []


async def test_empty_tools_ask_for_nothing(served):
    """Clients that always send the list are served."""
    body = {"model": "echo", "messages": HI, "tools": [], "think": None, "stream": False}
    assert (await served.json("POST", PATH, body))[0] == 200
