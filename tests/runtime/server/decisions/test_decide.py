"""``POST /v1/decisions``."""

import openai
import pytest

PATH = "/v1/decisions"
QUESTIONS = [
    {"type": "predicate", "name": "urgent", "instructions": "It is urgent."},
    {
        "type": "choice",
        "instructions": [{"type": "input_text", "text": "Which?"}],
        "choices": [{"value": "true", "description": "a word"}, {"value": True}, {"value": "no"}],
    },
    {
        "type": "score",
        "name": "mood",
        "instructions": "How glad?",
        "levels": [{"label": "sad"}, {"label": "glad", "description": "it laughs"}],
    },
]


def _body(**fields: object) -> dict[str, object]:
    return {"model": "scripted:1b", "input": "Pay today!", "questions": QUESTIONS} | fields


async def _refusal(served, **fields: object) -> str:
    status, answer = await served.json("POST", PATH, _body(**fields))
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    return answer["error"]["message"]


async def test_all_kinds_of_questions(deciding):
    """Answers stand in order; values keep their type; nothing is written."""
    status, answer = await deciding.json("POST", PATH, _body())
    assert status == 200
    predicate, choice, score = answer["answers"]
    assert predicate == {"type": "predicate", "name": "urgent", "probability": pytest.approx(1 / 3)}
    assert (choice["name"], choice["choice"], choice["confidence"]) == (None, "no", pytest.approx(0.25))
    assert [each["value"] for each in choice["probabilities"]] == ["true", True, "no"]
    assert sum(each["probability"] for each in choice["probabilities"]) == pytest.approx(1, abs=1e-6)
    assert score == {
        "type": "score",
        "name": "mood",
        "score": pytest.approx(2 / 3),
        "confidence": pytest.approx(1 / 3),
        "probabilities": [
            {"value": 0, "label": "sad", "probability": pytest.approx(1 / 3)},
            {"value": 1, "label": "glad", "probability": pytest.approx(2 / 3)},
        ],
    }
    assert answer["usage"] == {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 30,
    }


async def test_a_conversation_is_evidence(deciding):
    """It is written down as text, so that no turn of it counts as the model's own."""
    sent = [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "hi"}, {"type": "input_json", "data": {"a": 1}}],
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "rain"},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"},
        {
            "type": "custom_tool_call_output",
            "call_id": "d",
            "output": [{"type": "input_text", "text": "dry"}],
        },
    ]
    status, _ = await deciding.json("POST", PATH, _body(input=sent, questions=QUESTIONS[:1]))
    assert status == 200
    (message,) = deciding.scripted.asked[-1].prompt.messages
    assert (
        'user: hi{"a":1}\nassistant: I look.\ncall f({})\nresult: rain\ncall g(x)\nresult: dry'
        in message.content
    )


async def test_many_questions_are_asked_in_batches(deciding):
    """Never more than 64 run at once, and every answer is at its place."""
    questions = [QUESTIONS[0] | {"name": str(place)} for place in range(100)]
    status, answer = await deciding.json("POST", PATH, _body(questions=questions))
    assert status == 200
    assert [each["name"] for each in answer["answers"]] == [str(place) for place in range(100)]
    assert answer["usage"]["input_tokens"] == 1000


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input": None}, "input is required"),
        ({"input": []}, "input is required"),
        ({"questions": None}, "questions must hold 1 to 400 questions, got 0"),
        ({"questions": QUESTIONS * 134}, "questions must hold 1 to 400 questions, got 402"),
        ({"input": [{"type": "reasoning"}]}, "input[0].type must be one of message, function_call"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role must be one of user"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
            'input[0].call_id names no call, got "c"',
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]},
            "does not support vision",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0].type must be one of input_text, input_json",
        ),
    ],
    ids=str,
)
async def test_bad_requests(deciding, fields, message):
    """Status 400 that names the field."""
    assert message in await _refusal(deciding, **fields)


async def test_all_bad_questions_are_named(deciding):
    """By place and name; images and doubled values among what is wrong."""
    questions = [
        QUESTIONS[0],
        {
            "type": "choice",
            "name": "twice",
            "instructions": "x",
            "choices": [{"value": True}, {"value": True}],
        },
        {"type": "choice", "instructions": "x", "choices": [{"value": "a"}]},
        {"type": "predicate", "instructions": [{"type": "input_image", "image_url": "data:x"}]},
        {"type": "choice", "instructions": "x", "choices": [{"value": str(each)} for each in range(27)]},
        {"type": "predicate"},
    ]
    message = await _refusal(deciding, questions=questions)
    assert message == (
        'invalid questions: questions[1] ("twice"): choices must differ, got true twice; '
        "questions[2]: expected array of length >= 2 at choices; "
        "questions[3]: registry.ollama.ai/library/scripted:1b does not support vision; "
        "questions[4]: too many options, at most 26 can be told apart, got 27; "
        "questions[5]: object missing required field instructions"
    )
    assert not deciding.scripted.asked


async def test_the_official_client(deciding):
    """Its types take the answer at their strictest."""
    async with openai.AsyncOpenAI(
        base_url=f"{deciding.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as client:
        decision = await client.decisions.create(
            model="scripted:1b", input="Pay today!", questions=QUESTIONS, prompt_cache_key="k"
        )
    assert decision.answers[1].choice == "no"
    assert decision.answers[0].probability == pytest.approx(1 / 3)
    assert decision.usage.input_tokens_details.cache_write_tokens == 0
