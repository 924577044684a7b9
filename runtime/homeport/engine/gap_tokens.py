"""Tokens for a gap in a text, by family of vocabularies (Bavarian et al. 2022, arXiv:2207.14255)."""

from collections.abc import Callable

import attrs


@attrs.frozen
class GapTokens:
    """How a vocabulary writes what stands before a gap and behind it.

    Attributes:
        prefix: Token before the text that precedes the gap.
        suffix: Token before the text that follows it.
        middle: Token after which the model fills the gap; empty where it does so behind the last text.
        suffix_first: Whether the text behind the gap comes first.
        ends: Tokens that may end what fills the gap, beside the end token of the model.
    """

    prefix: str
    suffix: str
    middle: str
    suffix_first: bool = attrs.field(default=False, kw_only=True)
    ends: tuple[str, ...] = attrs.field(default=(), kw_only=True)


GAP_FAMILIES = (
    GapTokens(
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        ends=("<|endoftext|>", "<|file_separator|>", "<|file_sep|>", "<|fim_pad|>", "<|repo_name|>"),
    ),
    GapTokens("<fim_prefix>", "<fim_suffix>", "<fim_middle>", ends=("<|endoftext|>", "<file_sep>")),
    GapTokens("<fim-prefix>", "<fim-suffix>", "<fim-middle>", ends=("<|endoftext|>",)),
    GapTokens("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # noqa: RUF001 - their own bars
    GapTokens("▁<PRE>", "▁<SUF>", "▁<MID>", ends=("▁<EOT>",)),
    GapTokens("[PREFIX]", "[SUFFIX]", "", suffix_first=True),
)
"""Qwen2.5-Coder and CodeGemma, StarCoder, SantaCoder, DeepSeek-Coder, CodeLlama, Codestral.

DeepSeek writes a hole between the two texts, which is where others have the token before the second.
"""


def gap_tokens_of(knows: Callable[[str], bool]) -> GapTokens | None:
    """Find how a vocabulary writes gaps; None where it has no tokens for them.

    Args:
        knows: Whether a text is a token of the vocabulary.
    """
    for family in GAP_FAMILIES:
        if all(knows(token) for token in (family.prefix, family.suffix, family.middle) if token):
            return family
    return None
