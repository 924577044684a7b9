"""The items of a response while they grow, and the events that tell of it."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import attrs

from homeport.domain.generation import TokenLogprob
from homeport.server.schemas import responses as schema
from homeport.server.token_text import token_bytes, writable

IN_PROGRESS = "in_progress"
COMPLETED = "completed"
INCOMPLETE = "incomplete"

_ID_BYTES = 12
_NO_ARGUMENTS = "{}"

Told = tuple[str, Mapping[str, object]]
"""Type of an event without its prefix, and its fields besides number, item and place."""


class OpenItem(Protocol):
    """An item that is being written."""

    id: str

    def item(self, status: str) -> schema.Item:
        """Give it as far as it is."""
        ...

    def opened(self) -> Iterator[Told]:
        """Tell what follows its begin."""
        ...

    def closed(self, status: str) -> Iterator[Told]:
        """Tell what precedes its end, which has a status."""
        ...


@attrs.define
class OpenMessage:
    """The text of an answer.

    Attributes:
        id: Of the item.
        texts: Its pieces so far.
        logprobs: Of its tokens so far.
    """

    id: str = attrs.field(factory=lambda: f"msg_{secrets.token_hex(_ID_BYTES)}")
    texts: list[str] = attrs.field(factory=list)
    logprobs: list[schema.Logprob] = attrs.field(factory=list)

    def add(self, text: str, logprobs: Sequence[TokenLogprob]) -> Iterator[Told]:
        """Write on."""
        spelt = [_logprob(entry) for entry in logprobs]
        self.texts.append(text)
        self.logprobs += spelt
        yield "output_text.delta", {"delta": text, "logprobs": spelt}

    def item(self, status: str) -> schema.OutputMessage:
        """Give it as far as it is; one that was only begun has no content."""
        content = [self._part()] if status != IN_PROGRESS else []
        return schema.OutputMessage(id=self.id, status=status, content=content)

    def opened(self) -> Iterator[Told]:
        """Tell that the text begins."""
        yield "content_part.added", {"part": schema.OutputText(text="", logprobs=[])}

    def closed(self, _status: str) -> Iterator[Told]:
        """Tell that the text is whole."""
        part = self._part()
        yield "output_text.done", {"text": part.text, "logprobs": part.logprobs}
        yield "content_part.done", {"part": part}

    def _part(self) -> schema.OutputText:
        return schema.OutputText(text="".join(self.texts), logprobs=self.logprobs)


@attrs.define
class OpenReasoning:
    """The thoughts before an answer.

    Attributes:
        id: Of the item.
        texts: Their pieces so far.
    """

    id: str = attrs.field(factory=lambda: f"rs_{secrets.token_hex(_ID_BYTES)}")
    texts: list[str] = attrs.field(factory=list)

    def add(self, text: str) -> Iterator[Told]:
        """Write on."""
        self.texts.append(text)
        yield "reasoning_summary_text.delta", {"delta": text}

    def item(self, status: str) -> schema.Reasoning:
        """Give it as far as it is."""
        return schema.Reasoning(id=self.id, summary=[self._part()] if status != IN_PROGRESS else [])

    def opened(self) -> Iterator[Told]:
        """Tell that the thoughts begin."""
        yield "reasoning_summary_part.added", {"part": schema.SummaryText(text="")}

    def closed(self, _status: str) -> Iterator[Told]:
        """Tell that the thoughts are whole."""
        part = self._part()
        yield "reasoning_summary_text.done", {"text": part.text}
        yield "reasoning_summary_part.done", {"part": part}

    def _part(self) -> schema.SummaryText:
        return schema.SummaryText(text="".join(self.texts))


@attrs.define
class OpenCall:
    """A call of a tool.

    Attributes:
        index: Which call of the answer.
        call_id: What its result names.
        name: Of the tool.
        id: Of the item.
        pieces: Of its arguments so far.
    """

    index: int
    call_id: str
    name: str
    id: str = attrs.field(factory=lambda: f"fc_{secrets.token_hex(_ID_BYTES)}")
    pieces: list[str] = attrs.field(factory=list)

    def add(self, arguments: str) -> Iterator[Told]:
        """Write on."""
        if arguments:
            self.pieces.append(arguments)
            yield "function_call_arguments.delta", {"delta": arguments}

    def item(self, status: str) -> schema.FunctionCall:
        """Give it as far as it is."""
        return schema.FunctionCall(
            id=self.id, call_id=self.call_id, name=self.name, arguments="".join(self.pieces), status=status
        )

    def opened(self) -> Iterator[Told]:
        """Tell nothing: the item says all."""
        yield from ()

    def closed(self, status: str) -> Iterator[Told]:
        """Tell that the arguments are whole; those of a whole call that has none are an empty object."""
        if status == COMPLETED and not self.pieces:
            yield from self.add(_NO_ARGUMENTS)
        yield "function_call_arguments.done", {"name": self.name, "arguments": "".join(self.pieces)}


def _logprob(entry: TokenLogprob) -> schema.Logprob:
    alternatives = [
        schema.Alternative(token, writable(logprob), token_bytes(token) or [])
        for token, logprob in entry.alternatives
    ]
    return schema.Logprob(entry.token, writable(entry.logprob), token_bytes(entry.token) or [], alternatives)
