import openai
import pytest
from tokenizers import Tokenizer

pytestmark = pytest.mark.model

CHAT_MODEL = "smollm2:135m"
EMBEDDING_MODEL = "all-minilm"
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


def test_chat_answers_with_paris(openai_client):
    """A strict client accepts the whole answer."""
    answer = openai_client.chat.completions.create(model=CHAT_MODEL, messages=FRANCE, temperature=0)
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == 37
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streamed_chat_is_the_same_text_in_pieces(openai_client):
    """Chunks add up, the first has the role, the last has the usage."""
    whole = openai_client.chat.completions.create(model=CHAT_MODEL, messages=FRANCE, temperature=0)
    chunks = list(
        openai_client.chat.completions.create(
            model=CHAT_MODEL,
            messages=FRANCE,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


def test_logprobs_concatenate_to_the_text(openai_client):
    """Each token has its log-probability and alternatives, best first."""
    answer = openai_client.chat.completions.create(
        model=CHAT_MODEL, messages=FRANCE, temperature=0, logprobs=True, top_logprobs=2
    )
    content = answer.choices[0].logprobs.content
    assert "".join(token.token for token in content).startswith(answer.choices[0].message.content)
    assert all(token.top_logprobs[0].token == token.token for token in content)


def test_completion_continues_text_and_tokens(openai_client, starter_folder):
    """A string prompt and its own token ids, read alone or as a list, give one continuation."""
    prompt = "The capital of France is"
    tokens = Tokenizer.from_file(str(starter_folder / "tokenizer.json")).encode(prompt).ids
    asked = {"model": CHAT_MODEL, "max_tokens": 4, "temperature": 0}
    text = openai_client.completions.create(prompt=prompt, **asked)
    assert "Paris" in text.choices[0].text
    assert text.choices[0].finish_reason == "length"
    for ids, choices in ((tokens, 1), ([tokens, tokens], 2)):
        continued = openai_client.completions.create(prompt=ids, **asked)
        assert [choice.text for choice in continued.choices] == [text.choices[0].text] * choices
        assert continued.usage.prompt_tokens == text.usage.prompt_tokens * choices


def test_several_choices_differ(openai_client):
    """``n`` draws independent answers for one prompt."""
    answer = openai_client.chat.completions.create(
        model=CHAT_MODEL, messages=FRANCE, n=3, temperature=1.5, max_tokens=16, seed=3
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1


def test_models_are_listed(openai_client):
    """Lists are typed; one model is found by its id."""
    assert "smollm2:135m" in [model.id for model in openai_client.models.list().data]
    assert openai_client.models.retrieve("smollm2:135m").object == "model"


def test_embeddings_come_as_floats_and_as_base64(starter_server, openai_client):
    """The strict client reads floats, the usual one base64; both are the same vector."""
    strict = openai_client.embeddings.create(model=EMBEDDING_MODEL, input=["hello"], encoding_format="float")
    with openai.OpenAI(base_url=f"{starter_server.url}/v1", api_key="unused") as usual:
        loose = usual.embeddings.create(model=EMBEDDING_MODEL, input="hello")
    assert loose.data[0].embedding == pytest.approx(strict.data[0].embedding, abs=1e-6)
    assert strict.usage.prompt_tokens == 3


def test_errors_have_the_clients_own_classes(openai_client):
    """Unknown models, wrong values and wrong capabilities are typed."""
    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.chat.completions.create(model="no-such-model", messages=FRANCE)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="temperature"):
        openai_client.chat.completions.create(model=CHAT_MODEL, messages=FRANCE, temperature=-1)
    with pytest.raises(openai.BadRequestError, match="does not support chat"):
        openai_client.chat.completions.create(model=EMBEDDING_MODEL, messages=FRANCE)
