"""How text is cut before byte-pair merges, by the name that GGUF files give it.

The rules are those of llama.cpp (``src/llama-vocab.cpp``), put together from parts of ``tokenizers`` as
the models' own tokenizer.json files do.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tokenizers import Regex, normalizers, pre_tokenizers

from homeport.domain.errors import PullError

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UNNAMED = (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")


class PreTokenizer:
    """One way to cut text.

    Attributes:
        pre_tokenizer: The cutter.
        normalizer: Applied before; None for none.
        keeps_whole_words: A piece that is a token is not merged from its parts (``ignore_merges``).
        adds_begin_token: Whether files that do not say so want a begin token.
    """

    def __init__(
        self,
        pre_tokenizer: pre_tokenizers.PreTokenizer,
        *,
        normalizer: normalizers.Normalizer | None = None,
        is_llama3: bool = False,
    ) -> None:
        self.pre_tokenizer = pre_tokenizer
        self.normalizer = normalizer
        self.keeps_whole_words = is_llama3
        self.adds_begin_token = is_llama3


def find_pre_tokenizer(name: str) -> PreTokenizer:
    """Give the cutter of a name.

    Raises:
        PullError: The name is unknown: another cutter would give other tokens than the model knows.
    """
    make = _BY_NAME.get(name)
    if make is None:
        raise PullError(
            f"the pre-tokenizer {name!r} of the GGUF file is unknown here, known are {', '.join(_BY_NAME)}",
            hint="ask for the model's own repository with tokenizer.json instead",
        )
    return make()


def _gpt2() -> PreTokenizer:
    return PreTokenizer(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True))


def _single_digits() -> PreTokenizer:
    digits = pre_tokenizers.Digits(individual_digits=True)
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return PreTokenizer(pre_tokenizers.Sequence([digits, bytes_]))


def _llama3() -> PreTokenizer:
    return PreTokenizer(_split(_LLAMA3), is_llama3=True)


def _qwen2() -> PreTokenizer:
    return PreTokenizer(_split(_QWEN2), normalizer=normalizers.NFC())


def _unnamed() -> PreTokenizer:
    return PreTokenizer(_split(*_UNNAMED))


def _split(*patterns: str) -> pre_tokenizers.PreTokenizer:
    steps = [pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in patterns]
    return pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


_BY_NAME: Mapping[str, Callable[[], PreTokenizer]] = MappingProxyType(
    {
        "gpt-2": _gpt2,
        "llama-bpe": _llama3,
        "qwen2": _qwen2,
        "smollm": _single_digits,
        "default": _unnamed,
    }
)
