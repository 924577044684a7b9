"""From what the client sent to the ids that the model reads, cut to its window where that is allowed."""

import attrs

from homeport.domain.errors import ContextOverflowError, InvalidRequestError
from homeport.domain.generation import ChatPrompt, Prompt, TextPrompt
from homeport.domain.messages import Message, Role
from homeport.engine.chat_template import ChatTemplate
from homeport.engine.tokenizer import TextTokenizer

OVERFLOW = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)
_ANSWER_SHARE = 4
"""A cut prompt leaves at least one part in four of the window for the answer."""


@attrs.frozen
class EncodedPrompt:
    """Ids to compute, and whether some of the prompt was left out."""

    tokens: tuple[int, ...]
    truncated: bool = False


class PromptEncoder:
    """Encodes prompts for one model."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
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
        tokens = self._ids(prompt)
        if len(tokens) < window:
            return EncodedPrompt(tuple(tokens))
        if not truncate:
            raise ContextOverflowError(OVERFLOW, field="prompt")
        room = window - max(window // _ANSWER_SHARE, 1)
        if isinstance(prompt, ChatPrompt):
            tokens = self._ids(self._without_oldest_turns(prompt, room))
        return EncodedPrompt(tuple(tokens[-room:]), truncated=True)

    def _ids(self, prompt: Prompt) -> list[int]:
        match prompt:
            case ChatPrompt(messages=messages, context=context):
                text = self._template.render(messages)
                tokens = [*context, *self._tokenizer.encode(text, add_special_tokens=False)]
            case TextPrompt(text=text):
                tokens = self._tokenizer.encode(text, add_special_tokens=True)
            case _:
                tokens = list(prompt.tokens)
        self._check(tokens)
        return tokens or self._beginning()

    def _check(self, tokens: list[int]) -> None:
        size = self._tokenizer.vocabulary_size
        strange = next((token for token in tokens if not 0 <= token < size), None)
        if strange is not None:
            message = f"token {strange} is outside the vocabulary: expected 0 to {size - 1}"
            raise InvalidRequestError(message, field="prompt")

    def _beginning(self) -> list[int]:
        token = self._tokenizer.begin_token()
        if token is None:
            message = "the prompt is empty and the model has no token to begin with"
            raise InvalidRequestError(message, field="prompt")
        return [token]

    def _without_oldest_turns(self, prompt: ChatPrompt, room: int) -> ChatPrompt:
        """Drop the oldest turns until the rest fits; system messages and the last turn stay."""
        kept = list(prompt.messages)
        while len(self._ids(ChatPrompt(tuple(kept)))) > room:
            oldest = _oldest_turn(kept)
            if oldest is None:
                break
            del kept[oldest]
        return ChatPrompt(tuple(kept))


def _oldest_turn(messages: list[Message]) -> int | None:
    return next((place for place, turn in enumerate(messages[:-1]) if turn.role is not Role.SYSTEM), None)
