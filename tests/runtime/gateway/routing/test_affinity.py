import attrs
import pytest

from homeport import EmbeddingRequest, Message, Role, TextPrompt, TokenPrompt
from homeport.gateway.routing.affinity import MOST_CONVERSATIONS, Affinity
from homeport.gateway.target import TargetKey

HERE = TargetKey("here", "a")


def turns(request, *texts):
    """Continue a conversation."""
    roles = (Role.ASSISTANT, Role.USER)
    added = tuple(Message(roles[place % 2], text) for place, text in enumerate(texts))
    return attrs.evolve(
        request, prompt=attrs.evolve(request.prompt, messages=request.prompt.messages + added)
    )


def test_later_turns_belong_to_the_conversation(planning):
    """A conversation is known by its beginning, however long it grows; another beginning is another one."""
    affinity = Affinity()
    first = planning.ask("a", "hello", system="You are kind.")
    assert affinity.target(first) is None
    affinity.note(first, HERE)
    assert affinity.target(turns(first, "hi", "how are you?")) == HERE
    assert affinity.target(planning.ask("a", "hello", system="You are rude.")) is None
    assert affinity.target(planning.ask("a", "goodbye", system="You are kind.")) is None


def test_owners_and_names_are_kept_apart(planning):
    """What one owner asked says nothing to another, nor does what another name stood for."""
    affinity = Affinity()
    affinity.note(planning.ask("a", session="s", owner="me"), HERE)
    assert affinity.target(planning.ask("A", "something else", session="s", owner="me")) == HERE
    assert affinity.target(planning.ask("a", session="s", owner="you")) is None
    assert affinity.target(planning.ask("b", session="s", owner="me")) is None


@pytest.mark.parametrize("prompt", [TextPrompt("x" * 10_000), TokenPrompt((7,) * 10_000)])
def test_every_kind_of_prompt_has_a_beginning(planning, prompt):
    """Texts and tokens are known by how they begin."""
    affinity = Affinity()
    request = attrs.evolve(planning.ask("a"), prompt=prompt)
    affinity.note(request, HERE)
    assert affinity.target(request) == HERE
    assert affinity.target(attrs.evolve(request, prompt=TextPrompt("y"))) is None


def test_embeddings_without_a_session_have_no_conversation():
    """Nothing is remembered that no cache could hold."""
    affinity = Affinity()
    request = EmbeddingRequest(id="e", model="a", inputs=("x",))
    affinity.note(request, HERE)
    assert affinity.target(request) is None


def test_memory_is_bounded_and_forgets_the_oldest(planning):
    """Conversations that clients make up push out the one not seen for longest."""
    affinity = Affinity()
    for number in range(MOST_CONVERSATIONS):
        affinity.note(planning.ask("a", session=f"s{number}"), HERE)
    affinity.note(planning.ask("a", session="s0"), HERE)
    affinity.note(planning.ask("a", session="one more"), HERE)
    assert affinity.target(planning.ask("a", session="s0")) == HERE
    assert affinity.target(planning.ask("a", session="s1")) is None
    assert affinity.target(planning.ask("a", session="s2")) == HERE
