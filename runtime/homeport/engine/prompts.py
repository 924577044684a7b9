"""From what the client sent to the ids that the model reads, cut to its window where that is allowed."""

from collections.abc import Iterable, Sequence

import attrs

from homeport.domain.errors import ContextOverflowError, InvalidRequestError
from homeport.domain.generation import ChatPrompt, FillPrompt, Prompt, TextPrompt, TokenPrompt
from homeport.domain.messages import Message
from homeport.engine.answer_form import PLAIN_TEXT, AnswerForm
from homeport.engine.conversations import without_oldest
from homeport.engine.dialects import Dialects, RenderedChat
from homeport.engine.gaps import GapEncoder
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

_Unrendered = TextPrompt | TokenPrompt | FillPrompt


@attrs.frozen
class EncodedPrompt:
    """A prompt as the model computes it.

    Attributes:
        tokens: Ids to compute.
        truncated: Whether some of the prompt was left out.
        form: How the answer is to be read.
    """

    tokens: tuple[int, ...]
    truncated: bool = False
    form: AnswerForm = PLAIN_TEXT


class PromptEncoder:
    """Encodes prompts for one model.

    Args:
        tokenizer: Of the model.
        vocabulary_size: Ids that the model knows; its tokenizer may know more.
    """

    def __init__(self, tokenizer: TextTokenizer, vocabulary_size: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary_size = vocabulary_size
        self._dialects = Dialects(tokenizer)
        self._gaps = GapEncoder(tokenizer)

    def encode(
        self, prompt: Prompt, *, window: int, truncate: bool, is_formed: bool = False
    ) -> EncodedPrompt:
        """Encode a prompt so that at least one token fits behind it.

        Args:
            prompt: What to encode.
            window: Tokens of prompt and answer together.
            truncate: Whether a prompt that does not fit is cut.
            is_formed: Whether the answer must have a form, by a constraint.

        Raises:
            ContextOverflowError: It does not fit and must not be cut.
            InvalidRequestError: The template refuses it, an id is no id, or there is nothing to read.
            UnsupportedError: It has a gap, and the model has no tokens for that.
        """
        if isinstance(prompt, ChatPrompt):
            return self._chat(prompt, window=window, truncate=truncate, is_formed=is_formed)
        tokens = self._ids(prompt, most=window - 1)
        is_cut = tokens is None
        if tokens is None:
            tokens = self._last_ids(prompt, _room(window, truncate=truncate))
        form = PLAIN_TEXT
        if isinstance(prompt, FillPrompt):
            form = AnswerForm(end_tokens=self._gaps.end_tokens)
        return EncodedPrompt(tuple(tokens), truncated=is_cut, form=form)

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

    def begun(self, prompt: EncodedPrompt, text: str) -> tuple[EncodedPrompt, tuple[int, ...]]:
        """Encode the part of an answer that is there already, and say how the rest is to be read.

        A thought that the prompt opened is over: what is there already was said.
        """
        if not text:
            return prompt, ()
        form = attrs.evolve(prompt.form, is_begun=True, is_opened=False)
        if prompt.form.is_opened and prompt.form.thoughts is not None:
            closing = self._encoded_answer(f"\n{prompt.form.thoughts.end}\n\n")
            prompt = attrs.evolve(prompt, tokens=(*prompt.tokens, *closing))
        return attrs.evolve(prompt, form=form), self.continuation(prompt.tokens, text)

    def _encoded_answer(self, text: str) -> list[int]:
        return self._checked(self._tokenizer.encode(text, add_special_tokens=False))

    def _chat(self, prompt: ChatPrompt, *, window: int, truncate: bool, is_formed: bool) -> EncodedPrompt:
        spelled = self._dialects.spelled(prompt)

        def rendered(messages: tuple[Message, ...]) -> RenderedChat:
            return self._dialects.rendered(attrs.evolve(prompt, messages=messages), is_formed=is_formed)

        def ids(text: str, before: Sequence[int], most: int) -> list[int] | None:
            return self._fitting(spelled.parts(text), len(text), before=before, most=most)

        whole = rendered(prompt.messages)
        tokens = ids(whole.text, prompt.context, window - 1)
        if tokens is not None:
            return EncodedPrompt(tuple(tokens or self._beginning()), form=whole.form)
        room = _room(window, truncate=truncate)
        rest = rendered(
            without_oldest(prompt.messages, lambda left: ids(rendered(left).text, (), room) is not None)
        )
        end = rest.text[-room * self._tokenizer.longest_token :]
        last = self._checked([token for part in spelled.parts(end) for token in self._part(*part)])
        return EncodedPrompt(tuple(last[-room:]), truncated=True, form=rest.form)

    def _part(self, text: str, is_plain: bool) -> list[int]:  # noqa: FBT001 - as parts of a text are given
        if is_plain:
            return self._tokenizer.encode_plainly(text)
        return self._tokenizer.encode(text, add_special_tokens=False) if text else []

    def _fitting(
        self, parts: Iterable[tuple[str, bool]], length: int, *, before: Sequence[int], most: int
    ) -> list[int] | None:
        """Encode parts of a text; None where they exceed ``most`` ids.

        Encoding runs beside no other work of the model, and 8 MB of prose take 4.4 s: a length that says so
        alone is not encoded.
        """
        if self._tokenizer.is_too_long(length, most + 1):
            return None
        tokens = [*before, *(token for part in parts for token in self._part(*part))]
        return self._checked(tokens) if len(tokens) <= most else None

    def _last_ids(self, prompt: _Unrendered, room: int) -> list[int]:
        """Encode what is to stay of a prompt that does not fit."""
        match prompt:
            case TextPrompt(text=text):
                end = text[-room * self._tokenizer.longest_token :]
                return self._checked(self._tokenizer.encode(end, add_special_tokens=True))[-room:]
            case FillPrompt():
                return self._gaps.encode(prompt, most=room, truncate=True) or []
            case TokenPrompt(tokens=tokens):
                return self._checked(list(tokens[-room:]))

    def _ids(self, prompt: _Unrendered, *, most: int) -> list[int] | None:
        """Encode a whole prompt; None where it exceeds ``most`` ids."""
        match prompt:
            case TextPrompt(text=text):
                if self._tokenizer.is_too_long(len(text), most + 1):
                    return None
                tokens = self._tokenizer.encode(text, add_special_tokens=True)
            case FillPrompt():
                return self._gaps.encode(prompt, most=most, truncate=False)
            case TokenPrompt():
                tokens = list(prompt.tokens)
        tokens = self._checked(tokens) or self._beginning()
        return tokens if len(tokens) <= most else None

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


def _room(window: int, *, truncate: bool) -> int:
    """Say how many ids a cut prompt may have.

    Raises:
        ContextOverflowError: It must not be cut.
    """
    if not truncate:
        raise ContextOverflowError(OVERFLOW, field="prompt")
    return max(window - max(window // _ANSWER_SHARE, 1), 1)
