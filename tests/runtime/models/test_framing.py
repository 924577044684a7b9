"""What a model says before every conversation."""

import attrs
import pytest

from homeport.domain.generation import ChatPrompt, GenerationRequest, TextPrompt
from homeport.domain.messages import Message, Role
from homeport.models.framing import framed

SYSTEM = Message(Role.SYSTEM, "Be brief.")
EARLIER = (Message(Role.USER, "Hi"), Message(Role.ASSISTANT, "Hello"))
QUESTION = Message(Role.USER, "Why?")
OTHER_SYSTEM = Message(Role.SYSTEM, "Be long.")


@pytest.fixture
def manifest(stage, tmp_path):
    return attrs.evolve(stage(tmp_path, {}), system=SYSTEM.content, messages=EARLIER)


def frame(manifest, prompt):
    return framed(GenerationRequest(id="1", model="m", prompt=prompt), manifest).prompt


def test_system_and_messages_come_first(manifest):
    """The system text, then the messages, then the request's."""
    assert frame(manifest, ChatPrompt((QUESTION,))).messages == (SYSTEM, *EARLIER, QUESTION)


def test_a_system_message_takes_the_place_of_the_models(manifest):
    """It stays first, which most templates want, and the model's messages follow it."""
    prompt = frame(manifest, ChatPrompt((OTHER_SYSTEM, QUESTION)))
    assert prompt.messages == (OTHER_SYSTEM, *EARLIER, QUESTION)


def test_an_exchange_that_goes_on_has_the_messages_already(manifest):
    """The ids of the earlier exchange hold them; the system text stands again, as in Ollama."""
    prompt = frame(manifest, ChatPrompt((QUESTION,), (1, 2)))
    assert (prompt.messages, prompt.context) == ((SYSTEM, QUESTION), (1, 2))


def test_other_prompts_and_other_models_are_left_alone(manifest):
    """Raw text is no conversation, and most models say nothing."""
    assert frame(manifest, TextPrompt("x")) == TextPrompt("x")
    silent = attrs.evolve(manifest, system="", messages=())
    assert frame(silent, ChatPrompt((QUESTION,))) == ChatPrompt((QUESTION,))


def test_all_else_of_the_prompt_is_kept(manifest):
    """Templates, thinking and tools reach the model."""
    prompt = ChatPrompt((QUESTION,), thinks=True, effort="low", template="x", is_plain=True)
    assert attrs.evolve(frame(manifest, prompt), messages=(QUESTION,)) == prompt
