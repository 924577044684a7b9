import math
from itertools import pairwise

import pytest

from homeport.domain.errors import PullError
from homeport.models.conversion.fields import Fields
from homeport.models.conversion.gguf_file import GgufFile
from homeport.models.conversion.vocabulary import merges_by_score, read_vocabulary

TEXTS = (
    "the cat, the hat",
    "In 2024: 12345 + 0,75!",
    "don't  stop\n\n\ttabs   ",
    "naïve café 東京 Привет",
    "smile 🙂 family 👨‍👩‍👧 flag 🇫🇷",
    "a<|im_end|>b<|tool|>c",
    "",
)


def vocabulary(path):
    """The tokenizer of a GGUF file."""
    return read_vocabulary(Fields(GgufFile(path).fields))


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "qwen2", "smollm", "default"])
def test_texts_survive(write_gguf, tmp_path, pre):
    """Every text comes back from its ids whatever the way to cut it, special tokens included."""
    tokenizer = vocabulary(write_gguf(tmp_path / "tiny.gguf", pre=pre)).tokenizer
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize(
    ("pre", "pieces"),
    [
        ("gpt-2", ["In", "Ġ2024", ",", "Ġyou", "'re", "Ġ", "Ġhere"]),
        ("smollm", ["In", "Ġ", "2", "0", "2", "4", ",", "Ġyou", "'re", "Ġ", "Ġhere"]),
        ("qwen2", ["In", "Ġ", "2", "0", "2", "4", ",", "Ġyou", "'re", "Ġ", "Ġhere"]),
        ("llama-bpe", ["In", "Ġ", "202", "4", ",", "Ġyou", "'re", "Ġ", "Ġhere"]),
        ("default", ["In", "Ġ", "202", "4", ",", "Ġyou", "'", "re", "Ġ", "Ġhere"]),
    ],
)
def test_cuts_as_the_model_was_taught(write_gguf, tmp_path, pre, pieces):
    """Digits, spaces and contractions are cut by the rule that the file names."""
    tokenizer = vocabulary(write_gguf(tmp_path / "tiny.gguf", pre=pre)).tokenizer
    found = [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str("In 2024, you're  here")]
    assert found == pieces


def test_merges_and_special_tokens(gguf_path):
    """Merges are applied, control tokens are special and user-defined ones are whole but not special."""
    found = vocabulary(gguf_path)
    encoding = found.tokenizer.encode(" the<|im_end|><|tool|>")
    assert encoding.tokens == ["Ġthe", "<|im_end|>", "<|tool|>"]
    assert found.tokenizer.decode(encoding.ids) == " the<|tool|>"
    assert found.config["bos_token"] == "<|im_start|>"
    assert found.config["eos_token"] == "<|im_end|>"


def test_answers_end_at_every_known_end(write_gguf, tmp_path):
    """The end token, the end-of-turn token and known control tokens end an answer, the main one first."""
    path = write_gguf(tmp_path / "tiny.gguf", fields={"tokenizer.ggml.eot_token_id": 7})
    assert vocabulary(path).end_tokens == (2, 7, 0)


@pytest.mark.parametrize(
    ("pre", "fields", "begins"),
    [
        ("smollm", {}, False),
        ("llama-bpe", {}, True),
        ("llama-bpe", {"tokenizer.ggml.add_bos_token": False}, False),
        ("smollm", {"tokenizer.ggml.add_bos_token": True}, True),
    ],
)
def test_begins_with_a_begin_token_where_wanted(write_gguf, tmp_path, pre, fields, begins):
    """A begin token is added when the file says so, or when it is silent and its family does."""
    tokenizer = vocabulary(write_gguf(tmp_path / "tiny.gguf", pre=pre, fields=fields)).tokenizer
    assert tokenizer.encode("x").tokens == (["<|im_start|>", "x"] if begins else ["x"])
    assert tokenizer.encode("x", add_special_tokens=False).tokens == ["x"]


SPACE = "\u2581"
PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
WORDS = [
    SPACE, *"abcdehlnorstuw", "he", "ll", "hell", "hello", "or", "wor", "world", "ld", "lo", "an", "and",
    "cand", "us", "th", "the", *(SPACE + word for word in ("w", "h", "hello", "wor", "the", "t", SPACE)),
]  # fmt: skip


@pytest.fixture
def sentencepiece_fields():
    """The fields of a vocabulary as SentencePiece makes it: scores fall with rank."""
    tokens = [*PIECES, *WORDS]
    types = [2, 3, 3, *(6 for _ in range(256)), *(1 for _ in WORDS)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(PIECES)
        + [-float(rank * 7 % len(WORDS)) for rank in range(len(WORDS))],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def best_pair_first(text, scores):
    """SentencePiece's algorithm in its plainest form: merge the pair of the best score, leftmost first."""
    pieces = list(text)
    while True:
        pairs = [
            (-scores[left + right], place)
            for place, (left, right) in enumerate(pairwise(pieces))
            if left + right in scores
        ]
        if not pairs:
            return pieces
        _, place = min(pairs)
        pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]


def test_sentencepiece_merges_by_score(sentencepiece_fields):
    """Texts are cut as SentencePiece cuts them, which knows scores and no merges."""
    tokenizer = read_vocabulary(Fields(sentencepiece_fields)).tokenizer
    words = dict(zip(WORDS, sentencepiece_fields["tokenizer.ggml.scores"][len(PIECES) :], strict=True))
    for text in ("hello world", "the cand and the lord", "hellohello  world", "candus than here", "o"):
        expected = best_pair_first(SPACE + text.replace(" ", SPACE), words)
        assert tokenizer.encode(text).tokens == ["<s>", *expected]


def test_sentencepiece_texts_survive(sentencepiece_fields):
    """Signs outside the vocabulary fall back to bytes and come back whole."""
    tokenizer = read_vocabulary(Fields(sentencepiece_fields)).tokenizer
    for text in ("hello world", "  two  spaces", "é 🙂\n\tx", ""):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_better_scores_merge_first():
    """A pair ranks by the score of what it makes."""
    assert merges_by_score(["a", "b", "ab", "ba", "aba"], [0, 0, -2, -1, -3]) == [
        ("b", "a"),
        ("a", "b"),
        ("a", "ba"),
        ("ab", "a"),
    ]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"tokenizer.ggml.model": "bert"}, "'bert' cannot be rebuilt"),
        ({"tokenizer.ggml.tokens": ["a"]}, "1 tokens, 1 distinct"),
        ({"tokenizer.ggml.scores": [0.0]}, "1 scores"),
        ({"tokenizer.ggml.scores": [math.nan]}, "finite"),
        ({"tokenizer.ggml.bos_token_id": 9999}, "a token id below"),
        ({"tokenizer.ggml.eos_token_id": "x"}, "a token id below"),
        ({"tokenizer.ggml.tokens": 3}, "a list"),
        ({"tokenizer.ggml.add_bos_token": 3}, "true or false"),
    ],
)
def test_refuses_contradictions(sentencepiece_fields, changes, complaint):
    """A vocabulary whose parts do not fit together is refused, naming what does not fit."""
    with pytest.raises(PullError, match=complaint):
        read_vocabulary(Fields(sentencepiece_fields | changes))


@pytest.mark.parametrize("merges", [["x"], ["a b c"], ["nope nada"]])
def test_refuses_impossible_merges(gguf_path, merges):
    """A merge of no two known tokens is refused."""
    fields = {**GgufFile(gguf_path).fields, "tokenizer.ggml.merges": merges}
    with pytest.raises(PullError):
        read_vocabulary(Fields(fields))


def test_refuses_an_unknown_way_to_cut(write_gguf, tmp_path):
    """A pre-tokenizer that is not known would give wrong tokens silently, so it is refused by name."""
    path = write_gguf(tmp_path / "tiny.gguf", pre="tekken")
    with pytest.raises(PullError, match="'tekken' of the GGUF file is unknown here, known are gpt-2"):
        vocabulary(path)
