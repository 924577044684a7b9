"""The tokenizer inside a GGUF file, as tokenizer.json and tokenizer_config.json."""

from collections.abc import Sequence
from enum import IntEnum

import attrs
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from homeport.domain.errors import PullError
from homeport.models.conversion.fields import Fields
from homeport.models.conversion.pretokenizers import find_pre_tokenizer

_TURN_ENDS = frozenset(
    {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|endoftext|>", "<end_of_turn>"}
)
"""Control tokens that end an answer whatever the file says of them, as in llama.cpp."""
_SPACE = "\u2581"
_NAMED_TOKENS = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}


class TokenType(IntEnum):
    """``tokenizer.ggml.token_type``."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@attrs.frozen(kw_only=True)
class Vocabulary:
    """A tokenizer, and what stands beside it in the model's files.

    Attributes:
        tokenizer: To be saved as tokenizer.json.
        config: tokenizer_config.json, without the chat template.
        begin_token: Id of the begin token; None where there is none.
        pad_token: Id of the padding token; None where there is none.
        end_tokens: Ids that end an answer, the main one first.
        size: Number of tokens.
    """

    tokenizer: Tokenizer
    config: dict[str, object]
    begin_token: int | None
    pad_token: int | None
    end_tokens: tuple[int, ...]
    size: int


def read_vocabulary(fields: Fields) -> Vocabulary:
    """Build the tokenizer of a GGUF file.

    Args:
        fields: All fields of the file.

    Raises:
        PullError: It is of a kind that cannot be rebuilt for sure, or its parts contradict each other.
    """
    own = fields.below("tokenizer.ggml.")
    tokens = own.texts("tokens")
    types = [int(number) for number in own.numbers("token_type")]
    if len(types) != len(tokens) or len(set(tokens)) != len(tokens):
        raise PullError(
            f"the vocabulary has {len(tokens)} tokens, {len(set(tokens))} distinct, {len(types)} types"
        )
    tokenizer, adds_begin_token = _build_tokenizer(own, tokens)
    _add_tokens(tokenizer, tokens, types)
    ids = {name: own.token(key, len(tokens)) for name, key in _NAMED_TOKENS.items()}
    named = {name: tokens[number] for name, number in ids.items() if number is not None}
    adds_begin_token = own.flag("add_bos_token", default=adds_begin_token) and ids["bos_token"] is not None
    adds_end_token = own.flag("add_eos_token", default=False) and ids["eos_token"] is not None
    _add_frame(tokenizer, named, adds_begin_token=adds_begin_token, adds_end_token=adds_end_token)
    return Vocabulary(
        tokenizer=tokenizer,
        config={
            "tokenizer_class": "PreTrainedTokenizerFast",
            **named,
            "add_bos_token": adds_begin_token,
            "add_eos_token": adds_end_token,
            "clean_up_tokenization_spaces": False,
        },
        begin_token=ids["bos_token"],
        pad_token=ids["pad_token"],
        end_tokens=_end_tokens(own, tokens, types),
        size=len(tokens),
    )


def _build_tokenizer(own: Fields, tokens: Sequence[str]) -> tuple[Tokenizer, bool]:
    """Build a tokenizer without added tokens, and say whether it begins with a begin token by default."""
    kind = own.text("model")
    if kind == "gpt2":
        return _byte_level_bpe(own, tokens)
    if kind == "llama":
        return _sentencepiece_bpe(own, tokens), True
    raise PullError(
        f"tokenizers of kind {kind!r} cannot be rebuilt from GGUF, only gpt2 and llama",
        hint="ask for the model's own repository with tokenizer.json instead",
    )


def _byte_level_bpe(own: Fields, tokens: Sequence[str]) -> tuple[Tokenizer, bool]:
    """Build GPT-2's kind of tokenizer."""
    cut = find_pre_tokenizer(own.text("pre", "default"))
    merges = []
    for merge in own.texts("merges"):
        left, space, right = merge.partition(" ")
        if not space or " " in right:
            raise PullError(
                f"the vocabulary has the merge {merge!r:.80}, expected two parts with a space between"
            )
        merges.append((left, right))
    tokenizer = Tokenizer(_bpe(tokens, merges, ignore_merges=cut.keeps_whole_words))
    tokenizer.pre_tokenizer = cut.pre_tokenizer
    if cut.normalizer is not None:
        tokenizer.normalizer = cut.normalizer
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, cut.adds_begin_token


def _sentencepiece_bpe(own: Fields, tokens: Sequence[str]) -> Tokenizer:
    """Build Llama 2's kind of tokenizer: merges in the order of the scores of what they make."""
    scores = own.numbers("scores")
    if len(scores) != len(tokens):
        raise PullError(f"the vocabulary has {len(tokens)} tokens and {len(scores)} scores")
    unknown = own.token("unknown_token_id", len(tokens))
    tokenizer = Tokenizer(
        _bpe(
            tokens,
            merges_by_score(tokens, scores),
            unk_token=None if unknown is None else tokens[unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    replace = normalizers.Replace(" ", _SPACE)
    prepends = own.flag("add_space_prefix", default=True)
    tokenizer.normalizer = (
        normalizers.Sequence([normalizers.Prepend(_SPACE), replace]) if prepends else replace
    )
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prepends else steps)
    return tokenizer


def merges_by_score(tokens: Sequence[str], scores: Sequence[float]) -> list[tuple[str, str]]:
    """List all pairs of tokens that make a token, those of the best score first.

    SentencePiece merges the adjacent pair whose result has the best score; a rank per pair says the same.
    """
    ids = {token: number for number, token in enumerate(tokens)}
    pairs = [
        (-score, ids[left], ids[right])
        for token, score in zip(tokens, scores, strict=True)
        for left, right in ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        if left in ids and right in ids
    ]
    return [(tokens[left], tokens[right]) for _, left, right in sorted(pairs)]


def _bpe(tokens: Sequence[str], merges: list[tuple[str, str]], **options: object) -> models.BPE:
    vocabulary = {token: number for number, token in enumerate(tokens)}
    try:
        return models.BPE(vocabulary, merges, **options)
    except Exception as error:  # the library raises bare Exception for a merge of unknown tokens
        raise PullError(f"the vocabulary and its merges contradict each other: {error}") from error


def _add_tokens(tokenizer: Tokenizer, tokens: Sequence[str], types: Sequence[int]) -> None:
    special = (TokenType.CONTROL, TokenType.UNKNOWN)
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, types, strict=True)
            if kind in special and token
        ]
    )
    tokenizer.add_tokens(
        [
            AddedToken(token, special=False, normalized=False)
            for token, kind in zip(tokens, types, strict=True)
            if kind == TokenType.USER_DEFINED and token
        ]
    )


def _add_frame(
    tokenizer: Tokenizer, named: dict[str, str], *, adds_begin_token: bool, adds_end_token: bool
) -> None:
    """Put the begin and end token around each text where the model wants them."""
    before = [named["bos_token"]] if adds_begin_token else []
    after = [named["eos_token"]] if adds_end_token else []
    if not before and not after:
        return
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *after],
        pair=[
            *before,
            "$A",
            *after,
            *(f"{token}:1" for token in before),
            "$B:1",
            *(f"{token}:1" for token in after),
        ],
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in {*before, *after}],
    )


def _end_tokens(own: Fields, tokens: Sequence[str], types: Sequence[int]) -> tuple[int, ...]:
    said = [own.token(key, len(tokens)) for key in ("eos_token_id", "eot_token_id", "eom_token_id")]
    known = [
        number
        for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind == TokenType.CONTROL and token in _TURN_ENDS
    ]
    return tuple(dict.fromkeys(number for number in (*said, *known) if number is not None))
