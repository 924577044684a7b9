"""Texts with a gap, encoded for models that fill it."""

from collections.abc import Sequence

import attrs

from homeport.domain.errors import UnsupportedError
from homeport.domain.generation import FillPrompt
from homeport.engine.gap_tokens import GapTokens, gap_tokens_of
from homeport.engine.tokenizer import TextTokenizer

_SUFFIX_SHARE = 4
"""Of a cut prompt, the text behind the gap keeps at least one part in four."""


@attrs.frozen
class _Marks:
    """The ids around the texts."""

    prefix: int
    suffix: int
    middle: tuple[int, ...]
    begin: tuple[int, ...]
    suffix_first: bool


class GapEncoder:
    """Encodes texts with a gap by the tokens that a vocabulary has for it.

    Args:
        tokenizer: Of the model.

    Attributes:
        end_tokens: Ids that end what fills a gap.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        family = gap_tokens_of(lambda token: tokenizer.token_id(token) is not None)
        self._marks = None if family is None else self._found(family)
        self.end_tokens: frozenset[int] = frozenset()
        if family is not None:
            self.end_tokens = self._ids_of(family.prefix, family.suffix, family.middle, *family.ends)

    def encode(self, prompt: FillPrompt, *, most: int, truncate: bool) -> list[int] | None:
        """Encode a text with a gap.

        Args:
            prompt: Tokens written out in it are text.
            most: Ids that it may have.
            truncate: Whether what is furthest from the gap is left out where it has more.

        Returns:
            None where it has more and must not be cut.

        Raises:
            UnsupportedError: The vocabulary has no tokens for gaps.
        """
        if self._marks is None:
            raise UnsupportedError("this model does not support insert", field="suffix")
        marks = (self._marks.prefix, self._marks.suffix, *self._marks.middle, *self._marks.begin)
        room = most - len(marks)
        letters = max(room, 0) * self._tokenizer.longest_token
        if not truncate and len(prompt.prefix) + len(prompt.suffix) > letters:
            return None
        prefix = self._ids(prompt.prefix[-letters:])
        suffix = self._ids(prompt.suffix[:letters])
        if len(prefix) + len(suffix) > room:
            if not truncate:
                return None
            kept = max(room - len(prefix), room // _SUFFIX_SHARE, 0)
            suffix = suffix[:kept]
            prefix = prefix[len(prefix) - max(room - len(suffix), 0) :]
        return self._put_together(self._marks, prefix, suffix)

    def _put_together(self, marks: _Marks, prefix: Sequence[int], suffix: Sequence[int]) -> list[int]:
        before = (marks.prefix, *prefix)
        behind = (marks.suffix, *suffix)
        parts = (*behind, *before) if marks.suffix_first else (*before, *behind)
        return [*marks.begin, *parts, *marks.middle]

    def _ids(self, text: str) -> list[int]:
        if any(token in text for token in self._tokenizer.added_tokens):
            return self._tokenizer.encode_plainly(text)
        return self._tokenizer.encode(text, add_special_tokens=False)

    def _ids_of(self, *tokens: str) -> frozenset[int]:
        found = (self._tokenizer.token_id(token) for token in tokens if token)
        return frozenset(token for token in found if token is not None)

    def _found(self, family: GapTokens) -> _Marks:
        begin = self._tokenizer.begin_token()
        around = self._tokenizer.encode("", add_special_tokens=True)
        return _Marks(
            prefix=min(self._ids_of(family.prefix)),
            suffix=min(self._ids_of(family.suffix)),
            middle=tuple(self._ids_of(family.middle)),
            begin=(begin,) if begin is not None and begin in around[:1] else (),
            suffix_first=family.suffix_first,
        )
