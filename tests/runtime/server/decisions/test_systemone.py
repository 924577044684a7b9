"""``POST /v1/systemone``."""

import asyncio
import json

import ollama
import pytest

from homeport import (
    ContextOverflowError,
    Finished,
    FinishReason,
    PromptAccepted,
    TextDelta,
    UnsupportedError,
    Usage,
)

PATH = "/v1/systemone"
QUESTIONS = {
    "urgent": {
        "type": "noul",
        "instructions": "Is it urgent?",
        "criteria": {"true": "today", "false": "later"},
    },
    "kind": {
        "type": "choice",
        "instructions": {"ask": "kind"},
        "criteria": {"bill": "about money", "other": None},
    },
    "mood": {"type": "score", "instructions": "How glad?", "criteria": ["sad", "calm", "glad"]},
}


def _body(**fields: object) -> dict[str, object]:
    return {"model": "scripted:1b", "state": "Pay today!", "questions": QUESTIONS} | fields


async def _refusal(served, **fields: object) -> str:
    status, answer = await served.json("POST", PATH, _body(**fields))
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    return answer["error"]["message"]


async def test_all_kinds_of_questions(deciding):
    """Probabilities of labels become answers, in the order of the questions."""
    status, answer = await deciding.json("POST", PATH, _body())
    assert status == 200
    assert list(answer["answers"]) == ["urgent", "kind", "mood"]
    urgent, kind, mood = answer["answers"].values()
    assert urgent == {"type": "noul", "noul": pytest.approx(1 / 3)}
    assert kind == {
        "type": "choice",
        "choice": "other",
        "confidence": pytest.approx(1 / 3),
        "probabilities": {"bill": pytest.approx(1 / 3), "other": pytest.approx(2 / 3)},
    }
    assert mood == {
        "type": "score",
        "score": pytest.approx(4 / 3),
        "legend": {"0": "sad", "1": "calm", "2": "glad"},
        "confidence": pytest.approx(0.0),
        "probabilities": {"0": pytest.approx(1 / 6), "1": pytest.approx(2 / 6), "2": pytest.approx(3 / 6)},
    }
    assert answer["model"] == "scripted:1b"
    assert answer["usage"] == {"input_tokens": 30, "output_tokens": 0}


async def test_what_the_model_is_asked(deciding):
    """Each question is one prompt for one label; the state stands first, and is read as text."""
    await deciding.json("POST", PATH, _body(state={"text": "<|im_end|>"}))
    texts = []
    for asked in deciding.scripted.asked:
        (message,) = asked.prompt.messages
        assert (asked.prompt.is_plain, asked.prompt.thinks, asked.truncate) == (True, False, False)
        texts.append(message.content)
    assert {text.index('{"text":"<|im_end|>"}') for text in texts} == {texts[0].index("{")}
    labels = {asked.sampling.labels for asked in deciding.scripted.asked}
    assert labels == {("Yes", "No"), ("A", "B"), ("A", "B", "C")}
    by_labels = {asked.sampling.labels: asked.prompt.messages[0].content for asked in deciding.scripted.asked}
    assert "Yes: today\nNo: later" in by_labels["Yes", "No"]
    assert "A: bill: about money\nB: other" in by_labels["A", "B"]
    assert '{"ask":"kind"}' in by_labels["A", "B"]


async def test_the_official_client(deciding):
    """Its types parse the answer."""
    async with ollama.AsyncClient(host=deciding.url) as client:
        answer = await client.systemone("scripted:1b", "Pay today!", QUESTIONS, keep_alive="5m")
    assert answer.answers["kind"].choice == "other"
    assert answer.answers["urgent"].noul == pytest.approx(1 / 3)
    assert answer.usage.input_tokens == 30


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": None}, "model is required"),
        ({"state": None}, "state is required"),
        ({"questions": {}}, "questions must hold 1 to 64 questions, got 0"),
        (
            {"questions": {str(place): {} for place in range(65)}},
            "questions must hold 1 to 64 questions, got 65",
        ),
        ({"assets": [1]}, "assets is not supported"),
        ({"state": 3}, "state: expected"),
    ],
    ids=str,
)
async def test_bad_requests(deciding, fields, message):
    """Status 400 that names the field."""
    assert message in await _refusal(deciding, **fields)
    assert not deciding.scripted.asked


async def test_all_bad_questions_are_named(deciding):
    """In one error, each with what is wrong with it; good ones are not run either."""
    questions = {
        "good": QUESTIONS["urgent"],
        "kind": {"type": "riddle", "instructions": "x"},
        "mute": {"type": "noul"},
        "blank": {"type": "noul", "instructions": " "},
        "none": {"type": "choice", "instructions": "x", "criteria": {}},
        "many": {"type": "score", "instructions": "x", "criteria": ["y"] * 27},
        "typed": {"type": "score", "instructions": "x", "criteria": {"a": "b"}},
        "number": 3,
    }
    message = await _refusal(deciding, questions=questions)
    assert message == (
        "invalid questions: \"kind\": invalid value 'riddle' at type; "
        '"mute": object missing required field instructions; '
        '"blank": instructions must not be empty; '
        '"none": expected object of length >= 1 at criteria; '
        '"many": too many options, at most 26 can be told apart, got 27; '
        '"typed": expected array, got object at criteria; '
        '"number": expected object, got int'
    )
    assert not deciding.scripted.asked


async def test_a_body_beyond_64_kib_is_refused(deciding):
    """At the bound it is answered."""
    size = 64 * 1024
    body = _body(state="")
    room = size - len(json.dumps(body))
    for more, status in ((0, 200), (1, 413)):
        data = json.dumps(_body(state="x" * (room + more)))
        assert len(data) == size + more
        async with deciding.http.post(PATH, data=data) as response:
            assert response.status == status


async def test_one_level_is_certain(deciding):
    """A choice among one is no choice."""
    questions = {
        "choice": {"type": "choice", "instructions": "x", "criteria": {"only": None}},
        "score": {"type": "score", "instructions": "x", "criteria": ["only"]},
    }
    _, answer = await deciding.json("POST", PATH, _body(questions=questions))
    assert answer["answers"]["choice"]["confidence"] == answer["answers"]["score"]["confidence"] == 1.0
    assert answer["answers"]["score"]["score"] == 0.0


async def test_models_that_cannot_decide(served):
    """501: they write no text, refuse labels, or report no probabilities of them."""

    async def assert_cannot(**fields: object) -> None:
        status, answer = await served.json("POST", PATH, _body(**fields))
        assert (status, answer["error"]["type"]) == (501, "not_supported_error")
        assert "cannot decide" in answer["error"]["message"]

    await assert_cannot(model="vectors")
    await assert_cannot()

    async def refuse(_):
        message = "A is more than one token"
        raise UnsupportedError(message)
        yield

    served.scripted.script = refuse
    await assert_cannot()

    async def mumble(_):
        yield PromptAccepted(1)
        yield TextDelta("")
        yield Finished(FinishReason.STOP, Usage())

    served.scripted.script = mumble
    await assert_cannot()


@pytest.mark.parametrize(
    ("kind", "told"), [(None, "null"), ([], "array"), ({}, "object"), (3, "int"), (True, "bool")]
)
async def test_a_type_that_is_no_text_is_told_in_words_of_json(served, kind, told):
    """No name of a Python class."""
    body = _body(questions={"a": {"type": kind, "instructions": "x"}})
    status, answer = await served.json("POST", PATH, body)
    assert status == 400
    assert answer["error"]["message"] == f'invalid questions: "a": expected str, got {told} at type'


async def test_a_state_beyond_the_window(served):
    """It is never cut."""

    async def overflow(_):
        message = "too long"
        raise ContextOverflowError(message, field="prompt")
        yield

    served.scripted.script = overflow
    status, answer = await served.json("POST", PATH, _body())
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
    assert answer["error"]["param"] == "state"


async def test_a_client_that_leaves_frees_all_questions(served):
    """Those that run are left at once."""
    begun, ended = [], []
    all_begun, all_ended = asyncio.Event(), asyncio.Event()

    def note(moments: list, whole: asyncio.Event) -> None:
        moments.append(None)
        if len(moments) == len(QUESTIONS):
            whole.set()

    async def wait(_):
        yield PromptAccepted(1)
        note(begun, all_begun)
        try:
            await asyncio.Event().wait()
        finally:
            note(ended, all_ended)

    served.scripted.script = wait
    asking = asyncio.create_task(served.json("POST", PATH, _body()))
    await all_begun.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    async with asyncio.timeout(1):
        await all_ended.wait()


async def test_an_unknown_model(served):
    """404 as on every route of OpenAI's."""
    status, answer = await served.json("POST", PATH, _body(model="nope"))
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
