"""Echoes, scores, gaps and forms on ``POST /v1/completions``."""

import json

import pytest

from homeport import TextDelta, TokenLogprob
from homeport.domain.constraint import Constraint, ConstraintKind
from homeport.domain.generation import FillPrompt, PromptScored
from homeport.server.openai.echoes import Echo

PATH = "/v1/completions"
BODY = {"model": "speaking:1b", "prompt": "Hi there"}
PROMPT = PromptScored(
    (
        TokenLogprob("Hi", 0.0),
        TokenLogprob(" the", -1.5, ((" you", -0.5), (" the", -1.5))),
        TokenLogprob("re", -0.25),
    )
)
ANSWER = TextDelta("!", (TokenLogprob("!", -2.0, (("?", -1.0),)),))
LOGPROBS = {
    "tokens": ["Hi", " the", "re", "!"],
    "token_logprobs": [None, -1.5, -0.25, -2.0],
    "top_logprobs": [None, {" you": -0.5, " the": -1.5}, {"re": -0.25}, {"?": -1.0, "!": -2.0}],
    "text_offset": [0, 2, 6, 8],
}


async def _whole(served, **fields: object) -> dict:
    status, answer = await served.json("POST", PATH, BODY | fields)
    assert status == 200, answer
    return answer


async def _choices(served, **fields: object) -> list[dict]:
    async with served.http.post(PATH, json=BODY | {"stream": True} | fields) as response:
        assert response.status == 200, await response.text()
        *events, end, rest = (await response.text()).split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]


async def test_an_echo_with_log_probabilities(speaking, speaker):
    """Those of the prompt come first; the first token has none, for nothing stands before it."""
    speaker.says = [PROMPT, ANSWER]
    (choice,) = (await _whole(speaking, echo=True, logprobs=1))["choices"]
    assert choice["text"] == "Hi there!"
    assert choice["logprobs"] == LOGPROBS
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    assert speaker.asked[0].sampling.prompt_logprobs


async def test_a_streamed_echo_with_log_probabilities(speaking, speaker):
    """A chunk of the prompt, then those of the answer; they add up to the whole."""
    speaker.says = [PROMPT, ANSWER]
    prompt, answer, last = await _choices(speaking, echo=True, logprobs=1)
    assert (prompt["text"], answer["text"], last["text"]) == ("Hi there", "!", "")
    assert last["finish_reason"] == "stop"
    for field, whole in LOGPROBS.items():
        assert prompt["logprobs"][field] + answer["logprobs"][field] == whole


async def test_no_answer_scores_a_text(speaking, speaker):
    """echo, logprobs and max_tokens 0: only the prompt, whole and streamed."""
    speaker.says = [PROMPT]
    fields = {"echo": True, "logprobs": 0, "max_tokens": 0}
    (choice,) = (await _whole(speaking, **fields))["choices"]
    assert choice["text"] == "Hi there"
    assert choice["logprobs"]["token_logprobs"] == [None, -1.5, -0.25]
    prompt, last = await _choices(speaking, **fields)
    assert prompt["logprobs"]["tokens"] == ["Hi", " the", "re"]
    assert last["finish_reason"] == "stop"


async def test_token_ids_are_echoed_as_text(speaking, speaker):
    """The model says what they are; without logprobs none are told."""
    speaker.says = [PROMPT, ANSWER]
    (choice,) = (await _whole(speaking, prompt=[1, 2, 3], echo=True))["choices"]
    assert (choice["text"], choice["logprobs"]) == ("Hi there!", None)
    assert [choice["text"] for choice in await _choices(speaking, prompt=[1, 2, 3], echo=True)] == [
        "Hi there",
        "!",
        "",
    ]


@pytest.mark.parametrize(
    ("text", "tokens", "offsets"),
    [
        ("Hi you", ["Hi", " you"], [0, 2]),
        ("Hi you", ["<s>", "Hi", " you"], [0, 0, 2]),
        ("é!", ["\ufffd", "\ufffd", "!"], [0, 0, 1]),
        (" Hi", ["Hi"], [1]),
        ("", [], []),
    ],
)
def test_offsets_point_into_the_text(text, tokens, offsets):
    """Marks of the beginning, halves of characters and swallowed blanks move nothing."""
    assert Echo(text, tuple(TokenLogprob(token, -1.0) for token in tokens)).offsets == offsets


async def test_a_plain_echo_needs_no_scores(speaking, speaker):
    """It costs nothing."""
    await _whole(speaking, echo=True)
    await _whole(speaking, logprobs=1)
    assert [asked.sampling.prompt_logprobs for asked in speaker.asked] == [False, False]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fields", [{"logprobs": 1}, {"prompt": [1, 2]}])
async def test_a_backend_that_tells_no_tokens_is_named(speaking, fields, stream):
    """Rather an error than a score of half of the text."""
    status, answer = await speaking.json("POST", PATH, BODY | fields | {"echo": True, "stream": stream})
    assert (status, answer["error"]["param"]) == (400, "echo")
    assert answer["error"]["message"].startswith("the model does not support echo with ")


async def test_each_choice_of_each_prompt_is_echoed(speaking, speaker):
    """Choices of one prompt share it."""
    speaker.says = [PROMPT, ANSWER]
    answer = await _whole(speaking, prompt=["Hi there", "Hi there"], n=2, echo=True, logprobs=1)
    assert [choice["logprobs"] for choice in answer["choices"]] == [LOGPROBS] * 4


async def test_a_suffix_makes_a_gap(speaking, speaker):
    """Each prompt is what stands before it."""
    await _whole(speaking, prompt=["a", "b"], suffix="z")
    assert [asked.prompt for asked in speaker.asked] == [FillPrompt("a", "z"), FillPrompt("b", "z")]


async def test_forms_biases_and_extras(speaking, speaker):
    """The fields that chat completions have too."""
    await _whole(
        speaking, guided_regex="a+", logit_bias={"5": 1}, ignore_eos=True, num_ctx=64, keep_alive=5, best_of=1
    )
    (asked,) = speaker.asked
    assert asked.constraint == Constraint(ConstraintKind.REGEX, "a+")
    assert asked.sampling.logit_bias == ((5, 1.0),)
    assert asked.sampling.ignores_end
    assert (asked.context_length, asked.keep_alive_seconds) == (64, 5)


@pytest.mark.parametrize(
    ("fields", "param", "text"),
    [
        ({"suffix": "x", "prompt": [1]}, "suffix", "suffix needs a prompt of text, got token ids"),
        (
            {"suffix": "x", "echo": True, "logprobs": 1},
            "suffix",
            "suffix cannot stand beside echo with logprobs",
        ),
        ({"best_of": 2}, "best_of", "best_of must be at most n, which is 1, got 2"),
        ({"best_of": 3, "n": 2}, "best_of", "best_of must be at most n, which is 2, got 3"),
        ({"logit_bias": {"5": -101}}, "logit_bias", "logit_bias.5 must be between -100.0 and 100.0"),
    ],
)
async def test_what_cannot_be_asked_for_is_named(speaking, speaker, fields, param, text):
    """Each refusal is a 400 that names the field, and reaches no backend."""
    status, answer = await speaking.json("POST", PATH, BODY | fields)
    assert (status, answer["error"]["param"]) == (400, param)
    assert answer["error"]["message"].startswith(text)
    assert speaker.asked == []
