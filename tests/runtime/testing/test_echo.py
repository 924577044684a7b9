import pytest

from homeport import EmbeddingRequest, GenerationError, GenerationRequest, Sampling, TextDelta, TextPrompt
from homeport.testing import EchoBackend
from homeport.testing.backend_conformance import BackendConformance
from homeport.testing.echo import FAILING_WORD


class TestEcho(BackendConformance):
    """The echo backend keeps the contract that it helps others to test."""

    text_model = "echo:latest"
    embedding_model = "echo:latest"

    def make_backend(self):
        return EchoBackend()


def ask(prompt, **sampling):
    return GenerationRequest(
        id="r", model="echo:latest", prompt=TextPrompt(prompt), sampling=Sampling(**sampling)
    )


@pytest.mark.parametrize(
    ("prompt", "stop", "answer"),
    [
        ("one  two", (), ["one", " two"]),
        ("one two three", ("wo t",), ["one", " t"]),
        ("one two", ("two",), ["one", " "]),
        ("one two", ("",), ["one", " two"]),
        ("one", ("one",), []),
    ],
)
async def test_pieces_are_the_words_of_the_prompt_up_to_a_stop_text(prompt, stop, answer):
    """What an echo says can be foretold."""
    async with EchoBackend().generate(ask(prompt, stop=stop)) as events:
        pieces = [event.text async for event in events if isinstance(event, TextDelta)]
    assert pieces == answer


async def test_failing_word_fails_when_its_turn_comes():
    """Words before it are heard."""
    async with EchoBackend().generate(ask(f"one {FAILING_WORD} two")) as events:
        heard = [await anext(events), await anext(events)]
        with pytest.raises(GenerationError, match=FAILING_WORD):
            await anext(events)
    assert heard[1] == TextDelta("one")


async def test_dimensions_beyond_the_width_change_nothing():
    """There is nothing to add to a vector."""
    request = EmbeddingRequest(id="e", model="echo:latest", inputs=("abcde",), dimensions=9)
    assert (await EchoBackend().embed(request)).vectors == ((0.0, 1.0, 0.0, 0.0),)
