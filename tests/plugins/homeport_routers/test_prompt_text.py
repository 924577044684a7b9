import pytest

from homeport import ChatPrompt, EmbeddingRequest, GenerationRequest, Message, Role, TextPrompt, TokenPrompt
from homeport_routers.prompt_text import READ_CHARACTERS, about_tokens, ends, question, searched


def chat(*messages):
    """Make a request of pairs."""
    turns = tuple(Message(Role(role), text) for role, text in messages)
    return GenerationRequest(id="r", model="m", prompt=ChatPrompt(turns))


def test_the_question_is_what_the_user_said_last():
    """Neither the system's words nor earlier turns decide, nor an empty last turn."""
    asked = chat(
        ("system", "Be kind"), ("user", "one"), ("user", "two"), ("assistant", "three"), ("user", " ")
    )
    assert question(asked) == "two"


def test_all_text_is_searched_in_lower_case():
    """A rule sees every part of a conversation."""
    assert searched(chat(("system", "Be KIND"), ("user", "Now"))) == "be kind\nnow"


@pytest.mark.parametrize("size", [0, 1, READ_CHARACTERS, READ_CHARACTERS + 1, 10 * READ_CHARACTERS])
def test_long_texts_keep_both_ends(size):
    """A text is never longer than what is read, and keeps how it begins and ends."""
    text = "".join(chr(97 + place % 26) for place in range(size))
    cut = ends(text, READ_CHARACTERS, 0.6)
    assert len(cut) == min(size, READ_CHARACTERS)
    assert cut[:9] == text[:9]
    assert cut[-9:] == text[-9:]


def test_length_is_guessed_from_characters():
    """Latin text has four characters a token, other scripts fewer, ids count one each."""
    assert about_tokens(chat(("user", "a" * 400))) == 101
    assert about_tokens(chat(("user", "\u6f22" * 300))) == 201
    assert about_tokens(GenerationRequest(id="r", model="m", prompt=TokenPrompt((1, 2, 3)))) == 3
    assert about_tokens(EmbeddingRequest(id="r", model="m", inputs=("aaaa", (1, 2)))) == 4


def test_ids_have_no_text():
    """A prompt of ids asks nothing that could be read."""
    asked = GenerationRequest(id="r", model="m", prompt=TokenPrompt((1, 2, 3)))
    assert question(asked) == searched(asked) == ""
    assert question(GenerationRequest(id="r", model="m", prompt=TextPrompt("x"))) == "x"
