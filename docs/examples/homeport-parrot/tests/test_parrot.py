from homeport import ChatPrompt, GenerationRequest, Message, Role, TextDelta
from homeport.testing.backend_conformance import BackendConformance
from homeport_parrot.backend import ParrotBackend
from homeport_parrot.config import ParrotConfig


class TestParrot(BackendConformance):
    """A parrot is a whole backend."""

    text_model = "parrot:latest"

    def make_backend(self):
        return ParrotBackend(ParrotConfig())


async def test_prefix_comes_before_what_was_heard():
    """A setting changes what is said."""
    prompt = ChatPrompt((Message(Role.USER, "Pieces of eight!"),))
    request = GenerationRequest(id="r", model="parrot:latest", prompt=prompt)
    async with ParrotBackend(ParrotConfig(prefix="Arr! ")).generate(request) as events:
        said = [event.text async for event in events if isinstance(event, TextDelta)]
    assert said == ["Arr!", " Pieces", " of", " eight!"]
