import pytest

from homeport import ChatPrompt, EmbeddingRequest, GenerationRequest, Message, Role, TextPrompt, TokenPrompt
from homeport.engine.tokenizer import TextTokenizer
from homeport.gateway.routing.prompt_size import likely_tokens


def request(prompt, begun=""):
    return GenerationRequest(id="r", model="m", prompt=prompt, begun=begun)


def chat(*texts):
    return ChatPrompt(tuple(Message(Role.USER, text) for text in texts))


def test_tokens_that_are_given_are_counted():
    """Ids are known without an estimate."""
    ids = tuple(range(50))
    embedding = EmbeddingRequest(id="r", model="m", inputs=(ids, ids))
    assert likely_tokens(request(TokenPrompt(ids))) == pytest.approx(50, abs=5)
    assert likely_tokens(embedding) == pytest.approx(100, abs=10)
    assert likely_tokens(request(ChatPrompt((), context=ids))) == 50


def test_what_is_begun_counts_too():
    """A continuation reads its prompt and the part of the answer that is there."""
    prompt = TextPrompt("a" * 400)
    assert likely_tokens(request(prompt, "b" * 400)) == likely_tokens(request(prompt)) + 100


@pytest.mark.model
def test_the_estimate_is_near_for_prose(starter_folder):
    """For English prose the estimate is within a quarter of what the starter model's tokenizer counts."""
    text = (
        "The harbour lay quiet that morning. Two men carried nets along the wall, and a gull watched them "
        "from the mast of a boat that nobody had used since the storm. Later the wind turned, and by noon "
        "the whole town knew that the lights on the northern shore had not been lit for three nights."
    )
    tokens = len(TextTokenizer(starter_folder).encode(text, add_special_tokens=False))
    assert likely_tokens(request(TextPrompt(text))) == pytest.approx(tokens, rel=0.25)
