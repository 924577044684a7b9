"""Prompts that stand before the text of completions."""

from collections.abc import Sequence
from typing import Self

import attrs

from homeport.domain.errors import UnsupportedError
from homeport.domain.generation import TokenLogprob

_MOST_SKIPPED = 4
"""Characters that tokens which are parts of one, or a blank that a tokenizer swallows, may leave behind."""


@attrs.frozen
class Echo:
    """What stands before one choice.

    Attributes:
        text: Of the prompt.
        logprobs: Of its tokens, where they are wanted.
    """

    text: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def offsets(self) -> list[int]:
        """Where each token begins in the text.

        A token that does not stand there, such as a mark of the beginning or a part of a character, is as
        wide as nothing.
        """
        offsets = []
        end = 0
        for entry in self.logprobs:
            place = self.text.find(entry.token, end, end + len(entry.token) + _MOST_SKIPPED)
            offsets.append(end if place < 0 else place)
            end = end if place < 0 else place + len(entry.token)
        return offsets


@attrs.frozen(kw_only=True)
class Echoes:
    """What is echoed; nothing unless something is given.

    Attributes:
        texts: Of each prompt; None where it was given in token ids, whose text the model knows.
        scored: Whether the log-probabilities of prompts are wanted too.
    """

    texts: tuple[str | None, ...] = ()
    scored: bool = False

    @classmethod
    def of(cls, inputs: Sequence[str | tuple[int, ...]], *, scored: bool) -> Self:
        """Echo all prompts."""
        return cls(texts=tuple(each if isinstance(each, str) else None for each in inputs), scored=scored)

    @property
    def needs_scores(self) -> bool:
        """Whether the model must tell the tokens of the prompts."""
        return bool(self.texts) and (self.scored or None in self.texts)

    def before(self, prompt: int, tokens: Sequence[TokenLogprob]) -> Echo:
        """Give what stands before a choice.

        Args:
            prompt: Its place among the prompts.
            tokens: Of the prompt, as far as the model told them.

        Raises:
            UnsupportedError: The model did not tell them, and they are needed.
        """
        if not self.texts:
            return Echo()
        if self.needs_scores and not tokens:
            companion = "logprobs" if self.scored else "token ids"
            message = f"the model does not support echo with {companion}: it does not tell a prompt's tokens"
            raise UnsupportedError(message, field="echo")
        text = self.texts[prompt]
        shown = "".join(entry.token for entry in tokens) if text is None else text
        return Echo(shown, tuple(tokens) if self.scored else ())
