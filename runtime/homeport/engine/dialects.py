"""The templates that a model is spoken to by: its own, and those of requests."""

from collections import OrderedDict

import attrs

from homeport.domain.errors import InvalidRequestError, LoadError
from homeport.domain.generation import ChatPrompt
from homeport.domain.messages import Role
from homeport.domain.tools import ToolChoice, ToolOffer
from homeport.engine.answer_form import AnswerForm
from homeport.engine.chat_template import ChatTemplate
from homeport.engine.spelled_tokens import SpelledTokens
from homeport.engine.thought_markers import ThoughtMarkers, markers_of
from homeport.engine.tokenizer import TextTokenizer
from homeport.engine.tool_formats import ToolFormat, format_of

_MOST_TEMPLATES = 16
_MOST_TEMPLATE = 256 * 1024
"""Characters of a template that a request brings; the longest known ones have 20,000."""


@attrs.frozen
class RenderedChat:
    """A conversation as its model reads it, and how the answer is to be read.

    Attributes:
        text: With stand-ins for tokens that somebody spelt out.
        form: Of the answer.
    """

    text: str
    form: AnswerForm


@attrs.frozen
class Dialect:
    """A template, and what it tells of the answers to it."""

    template: ChatTemplate
    tool_format: ToolFormat
    thoughts: ThoughtMarkers | None

    def rendered(self, prompt: ChatPrompt, *, is_formed: bool) -> RenderedChat:
        """Render a conversation.

        Args:
            prompt: The conversation.
            is_formed: Whether the answer must have a form: then a model that thinks by default begins to at
                once, since the form holds from the end of its thought.
        """
        offer = prompt.tools
        if offer is not None and offer.choice is ToolChoice.NONE:
            offer = None
        text = self.template.render(prompt)
        if self.thoughts is not None:
            text = self._with_thought(text, self.thoughts, prompt, is_formed=is_formed or _is_forced(offer))
        form = AnswerForm(
            offer=offer,
            tool_format=None if offer is None else self.tool_format,
            thoughts=self.thoughts,
            is_opened=self.thoughts is not None and text.rstrip().endswith(self.thoughts.begin),
        )
        return RenderedChat(text, form)

    def _with_thought(
        self, text: str, markers: ThoughtMarkers, prompt: ChatPrompt, *, is_formed: bool
    ) -> str:
        """Close a thought that was not wanted, or open one that is to come first."""
        said = text.rstrip()
        if said.endswith(markers.begin):
            return text if prompt.thinks is not False else f"{said}\n\n{markers.end}\n\n"
        thinks = prompt.thinks
        if thinks is None:
            thinks = "enable_thinking" in self.template.source
        opens = is_formed and thinks and not said.endswith(markers.end)
        return f"{text}{markers.begin}\n" if opens else text


class Dialects:
    """Renders conversations by the template of a model, or by another one that a request brings.

    Args:
        tokenizer: Of the model.

    Raises:
        LoadError: The model's own template is not valid.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._own = self._dialect(tokenizer.template)
        self._others: OrderedDict[str, Dialect] = OrderedDict()
        self._special = SpelledTokens(tokenizer.hidden_tokens)
        self._any = SpelledTokens(tokenizer.added_tokens)

    def spelled(self, prompt: ChatPrompt) -> SpelledTokens:
        """Give what knows the tokens that are text in a conversation."""
        return self._any if prompt.is_plain else self._special

    def rendered(self, prompt: ChatPrompt, *, is_formed: bool) -> RenderedChat:
        """Render a conversation, with stand-ins for tokens that users and tools spelt out.

        Raises:
            InvalidRequestError: A template is not valid, or refuses the conversation.
        """
        spelled = self.spelled(prompt)
        messages = tuple(
            attrs.evolve(message, content=spelled.hide(message.content))
            if prompt.is_plain or message.role in {Role.USER, Role.TOOL}
            else message
            for message in prompt.messages
        )
        dialect = self._of(prompt.template)
        try:
            return dialect.rendered(attrs.evolve(prompt, messages=messages), is_formed=is_formed)
        except RecursionError as error:
            if not prompt.template:
                raise
            raise InvalidRequestError(f"template error: {error}", field="template") from error

    def _of(self, source: str) -> Dialect:
        if not source:
            return self._own
        if source not in self._others:
            self._others[source] = self._checked(source)
        self._others.move_to_end(source)
        while len(self._others) > _MOST_TEMPLATES:
            self._others.popitem(last=False)
        return self._others[source]

    def _checked(self, source: str) -> Dialect:
        if len(source) > _MOST_TEMPLATE:
            message = f"template error: {len(source)} characters, expected at most {_MOST_TEMPLATE}"
            raise InvalidRequestError(message, field="template")
        try:
            return self._dialect(source)
        except LoadError as error:
            raise InvalidRequestError(f"template error: {error.__cause__}", field="template") from error

    def _dialect(self, source: str) -> Dialect:
        tokenizer = self._tokenizer
        return Dialect(
            ChatTemplate(source, tokenizer.special_tokens),
            format_of(source, tokenizer.added_tokens, tokenizer.hidden_tokens),
            markers_of(source),
        )


def _is_forced(offer: ToolOffer | None) -> bool:
    return offer is not None and (offer.choice is ToolChoice.REQUIRED or bool(offer.name))
