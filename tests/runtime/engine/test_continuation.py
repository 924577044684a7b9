import attrs
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from homeport import (
    ChatPrompt,
    Finished,
    FinishReason,
    GenerationRequest,
    LoadPlan,
    Message,
    PromptAccepted,
    Role,
    Sampling,
    TextDelta,
    TextPrompt,
)
from homeport.engine.engine import Engine
from homeport.engine.prompts import PromptEncoder
from homeport.engine.tokenizer import TextTokenizer
from homeport.testing.tiny_model import ChecksumModel, checksum_answer

PLAN = LoadPlan(context_length=64, slots=2, threads=1)
TOKENS = 20


class UndecidedModel(ChecksumModel):
    """Finds all printable bytes about as likely as the checksum."""

    def forward(self, batch):
        logits = super().forward(batch) / 5
        logits[:, :32] = logits[:, 127:] = -np.inf
        return logits


@pytest.fixture(params=[ChecksumModel, UndecidedModel])
def make_engine(request, tiny_folder, tokenizer):
    """Build an engine with nothing remembered."""

    def make():
        model = request.param()
        return Engine(model, model.load(tiny_folder, PLAN), tokenizer, PLAN)

    return make


def answer(engine, request):
    """Run a request to its end."""
    told = list(engine.submit(request))
    while engine.busy:
        told += engine.step()
    return [each.event for each in told]


def text_of(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def ask(prompt, **sampling):
    settings = {"temperature": 0, "max_tokens": TOKENS} | sampling
    return GenerationRequest(id="r", model="tiny", prompt=prompt, sampling=Sampling(**settings))


def behind(request, begun, *, tokens):
    """Ask for the rest."""
    limit = request.sampling.max_tokens
    left = None if limit is None else limit - tokens
    return attrs.evolve(request, begun=begun, sampling=attrs.evolve(request.sampling, max_tokens=left))


@pytest.mark.parametrize(
    "request_",
    [
        ask(TextPrompt("hello")),
        ask(ChatPrompt((Message(Role.USER, "hello"),))),
        ask(ChatPrompt((Message(Role.USER, "hello"),), context=(1, 2, 3))),
        ask(TextPrompt("hello"), temperature=1.5, seed=11),
        ask(TextPrompt("hello"), temperature=1.5, seed=11, repeat_penalty=1.3, presence_penalty=0.5),
        ask(TextPrompt("x" * 50), max_tokens=None),
        ask(TextPrompt("x" * 500), max_tokens=None),
    ],
)
def test_an_answer_cut_anywhere_and_continued_is_the_same(make_engine, request_):
    """A greedy or seeded answer continues with the text that it would have had, by another engine too."""
    whole = answer(make_engine(), request_)
    text = text_of(whole)
    assert text
    for place in range(len(text)):
        rest = answer(make_engine(), behind(request_, text[:place], tokens=place))
        assert text[:place] + text_of(rest) == text
        assert rest[-1].reason is whole[-1].reason
        assert rest[-1].usage.prompt_tokens == whole[-1].usage.prompt_tokens + place
        assert rest[-1].usage.completion_tokens == len(text) - place
        assert rest[-1].context == whole[-1].context
        assert rest[0] == attrs.evolve(whole[0], prompt_tokens=whole[0].prompt_tokens + place)


def test_a_stop_text_ends_a_continued_answer_too(make_engine):
    """A stop text is found in what comes, wherever the answer was cut before it."""
    text = checksum_answer("hello", TOKENS)
    request = ask(TextPrompt("hello"), stop=(text[12:15],))
    expected = text_of(answer(make_engine(), request))
    for place in range(len(expected) + 1):
        rest = answer(make_engine(), behind(request, expected[:place], tokens=place))
        assert expected[:place] + text_of(rest) == expected


@pytest.mark.parametrize("begun", ["y" * 14, "y" * 5000])
def test_an_answer_that_fills_the_window_is_over(make_engine, begun):
    """Where no token fits any more, the continuation ends at once for its length."""
    events = answer(make_engine(), behind(ask(TextPrompt("x" * 50), max_tokens=None), begun, tokens=0))
    assert [type(event) for event in events] == [PromptAccepted, Finished]
    assert events[-1].reason is FinishReason.LENGTH


@pytest.fixture
def encoder(tmp_path, tiny_folder):
    """Build a prompt encoder around a tokenizer."""

    def make(tokenizer):
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        return PromptEncoder(TextTokenizer(tmp_path), tokenizer.get_vocab_size())

    return make


def test_a_vocabulary_that_puts_a_blank_before_any_text_doubles_none(encoder):
    """The blank that a continued text begins with is encoded once, and one without gets none."""
    vocabulary = {
        "<unk>": 0,
        "\u2581the": 1,
        "\u2581world": 2,
        "\u2581": 3,
        "\u2581\u2581world": 4,
        "world": 5,
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always", split=True)
    assert encoder(tokenizer).continuation([1], " world") == (2,)
    assert encoder(tokenizer).continuation([1], "") == ()


def test_blanks_at_the_end_are_encoded_as_before_a_word(encoder):
    """Two line ends are two tokens where they would be in front of a word, and not joined as at the end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: place for place, character in enumerate([*alphabet, "\u010a\u010a"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("\u010a", "\u010a")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    line_end = vocabulary["\u010a"]
    assert tokenizer.encode("b\n\n").ids == [vocabulary["b"], len(alphabet)]
    assert tokenizer.encode("b\n\na").ids == [vocabulary["b"], line_end, line_end, vocabulary["a"]]
    assert encoder(tokenizer).continuation([], "b\n\n") == (vocabulary["b"], line_end, line_end)


def test_characters_of_several_bytes_are_kept(tokenizer):
    """What is begun is encoded byte by byte where the vocabulary says so."""
    encoder = PromptEncoder(tokenizer, 257)
    assert encoder.continuation([65], "\u00e9\u6f22 ") == tuple("\u00e9\u6f22 ".encode())
