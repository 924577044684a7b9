"""From what the client sent to the ids that the model reads, cut to its window where that is allowed."""

import bisect
from collections.abc import Sequence

import attrs

from homeport.domain.errors import ContextOverflowError, InvalidRequestError, UnsupportedError
from homeport.domain.generation import ChatPrompt, FillPrompt, Prompt, TextPrompt
from homeport.domain.messages import Message, Role
from homeport.engine.chat_template import ChatTemplate
from homeport.engine.tokenizer import TextTokenizer

OVERFLOW = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)
_CONTINUED_TOKENS = 4
"""So many tokens of a prompt tell how the text behind it begins."""
_NEXT_WORD = "a"
_ANSWER_SHARE = 4
"""A cut prompt leaves at least one part in four of the window for the answer."""


@attrs.frozen
class EncodedPrompt:
    """Ids to compute, and whether some of the prompt was left out."""

    tokens: tuple[int, ...]
    truncated: bool = False


class PromptEncoder:
    """Encodes prompts for one model.

    Args:
        tokenizer: Of the model.
        vocabulary_size: Ids that the model knows; its tokenizer may know more.
    """

    def __init__(self, tokenizer: TextTokenizer, vocabulary_size: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary_size = vocabulary_size
        self._template = ChatTemplate(tokenizer.template, tokenizer.special_tokens)

    def encode(self, prompt: Prompt, *, window: int, truncate: bool) -> EncodedPrompt:
        """Encode a prompt so that at least one token fits behind it.

        Args:
            prompt: What to encode.
            window: Tokens of prompt and answer together.
            truncate: Whether a prompt that does not fit is cut.

        Raises:
            ContextOverflowError: It does not fit and must not be cut.
            InvalidRequestError: The template refuses it, an id is no id, or there is nothing to read.
        """
        tokens = self._ids(prompt, most=window)
        if tokens is not None and len(tokens) < window:
            return EncodedPrompt(tuple(tokens))
        if not truncate:
            raise ContextOverflowError(OVERFLOW, field="prompt")
        room = max(window - max(window // _ANSWER_SHARE, 1), 1)
        return EncodedPrompt(tuple(self._last_ids(prompt, room)), truncated=True)

    def continuation(self, before: Sequence[int], begun: str) -> tuple[int, ...]:
        """Encode the part of an answer that is there already, as its model may have written it.

        It is encoded apart from what stands before it, since its first token began behind the last of the
        prompt. Vocabularies that put a blank before any text would double the one that an answer begins
        with, so it is left out where only that gives the text back.

        Blanks at the end are encoded as before a word, which is how a model writes them: many tokenizers
        join the last ones only where nothing follows. A model may still have cut the text into other tokens;
        then what comes may be another text than without the interruption.

        Args:
            before: Ids of the prompt.
            begun: The text so far; may be empty.
        """
        if not begun:
            return ()
        context = before[-_CONTINUED_TOKENS:]
        known = len(self._tokenizer.decode(context))
        plain = self._encoded_answer(begun)
        forms = [plain, self._encoded_answer(begun.removeprefix(" "))]
        if begun[-1].isspace():
            forms.insert(0, self._encoded_answer(begun + _NEXT_WORD)[:-1])
        for ids in forms:
            if self._tokenizer.decode([*context, *ids])[known:] == begun:
                return tuple(ids)
        return tuple(plain)

    def _encoded_answer(self, text: str) -> list[int]:
        return self._checked(self._tokenizer.encode(text, add_special_tokens=False))

    def _last_ids(self, prompt: Prompt, room: int) -> list[int]:
        """Encode what is to stay of a prompt that does not fit."""
        match prompt:
            case ChatPrompt():
                text = self._template.render(self._without_oldest_turns(prompt.messages, room))
                return self._encoded_end(text, room, add_special_tokens=False)
            case TextPrompt(text=text):
                return self._encoded_end(text, room, add_special_tokens=True)
            case FillPrompt():
                raise _no_gaps()
            case ids:
                return self._checked(list(ids.tokens[-room:]))

    def _encoded_end(self, text: str, room: int, *, add_special_tokens: bool) -> list[int]:
        end = text[-room * self._tokenizer.longest_token :]
        return self._checked(self._tokenizer.encode(end, add_special_tokens=add_special_tokens))[-room:]

    def _ids(self, prompt: Prompt, *, most: int) -> list[int] | None:
        """Encode a whole prompt; None where its length alone says that it exceeds ``most`` ids.

        Encoding runs beside no other work of the model, and 8 MB of prose take 4.4 s.
        """
        match prompt:
            case ChatPrompt(messages=messages, context=context):
                text, before, special = self._template.render(messages), list(context), False
            case TextPrompt(text=text):
                before, special = [], True
            case FillPrompt():
                raise _no_gaps()
            case ids:
                return self._checked(list(ids.tokens)) or self._beginning()
        if len(text) > most * self._tokenizer.longest_token:
            return None
        tokens = [*before, *self._tokenizer.encode(text, add_special_tokens=special)]
        return self._checked(tokens) or self._beginning()

    def _checked(self, tokens: list[int]) -> list[int]:
        strange = next((token for token in tokens if not 0 <= token < self._vocabulary_size), None)
        if strange is not None:
            message = f"token {strange} is outside the vocabulary: expected 0 to {self._vocabulary_size - 1}"
            raise InvalidRequestError(message, field="prompt")
        return tokens

    def _beginning(self) -> list[int]:
        token = self._tokenizer.begin_token()
        if token is None:
            message = "the prompt is empty and the model has no token to begin with"
            raise InvalidRequestError(message, field="prompt")
        return [token]

    def _without_oldest_turns(self, messages: tuple[Message, ...], room: int) -> list[Message]:
        """Drop as few of the oldest turns as make the rest fit; system messages and the last turn stay."""
        droppable = [place for place, turn in enumerate(messages[:-1]) if turn.role is not Role.SYSTEM]

        def remaining(count: int) -> list[Message]:
            dropped = set(droppable[:count])
            return [turn for place, turn in enumerate(messages) if place not in dropped]

        def fits(count: int) -> bool:
            tokens = self._ids(ChatPrompt(tuple(remaining(count))), most=room)
            return tokens is not None and len(tokens) <= room

        return remaining(bisect.bisect_left(range(len(droppable)), x=True, key=fits))


def _no_gaps() -> UnsupportedError:
    return UnsupportedError("this model has no tokens for a gap in a text", field="suffix")
