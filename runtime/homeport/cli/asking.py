"""One question to a model and its streamed answer."""

import time
from collections.abc import Callable, Mapping

import attrs

from homeport.cli.answers import AnswerTiming
from homeport.cli.client import AnswerError, Client, JsonObject

ChatMessage = Mapping[str, str]
"""``role`` and ``content``, as the wire has them."""


@attrs.frozen(kw_only=True)
class Manner:
    """How a model is asked.

    Attributes:
        model: Its name, as typed.
        system: Replaces the model's system text; None keeps it.
        options: Sampling options under Ollama's names.
        keep_alive: How long it stays in memory afterwards; None leaves that to the server.
    """

    model: str
    system: str | None = None
    options: Mapping[str, object] = attrs.field(factory=dict)
    keep_alive: str | float | None = None

    def body(self) -> dict[str, object]:
        """Give the fields of a request that do not depend on the question."""
        fields = {
            "model": self.model,
            "options": dict(self.options) or None,
            "keep_alive": self.keep_alive,
        }
        return {name: value for name, value in fields.items() if value is not None}


@attrs.frozen
class Answer:
    """What a model said, and how long it took."""

    text: str
    timing: AnswerTiming


def generate(client: Client, manner: Manner, prompt: str, *, write: Callable[[str], None]) -> Answer:
    """Ask one question without history; pieces of the answer go to ``write`` as they come.

    Raises:
        AnswerError: The server refused, failed, or broke off.
    """
    system = {} if manner.system is None else {"system": manner.system}
    return _stream(client, "/api/generate", {**manner.body(), **system, "prompt": prompt}, write)


def chat(
    client: Client, manner: Manner, messages: list[ChatMessage], *, write: Callable[[str], None]
) -> Answer:
    """Ask with a history; pieces of the answer go to ``write`` as they come.

    Raises:
        AnswerError: The server refused, failed, or broke off.
    """
    system = [] if manner.system is None else [{"role": "system", "content": manner.system}]
    return _stream(client, "/api/chat", {**manner.body(), "messages": [*system, *messages]}, write)


def _stream(client: Client, path: str, body: JsonObject, write: Callable[[str], None]) -> Answer:
    pieces: list[str] = []
    final: JsonObject | None = None
    asked_at = time.perf_counter_ns()
    first_token = 0
    with client.stream(path, body) as chunks:
        for chunk in chunks:
            piece = _piece(chunk)
            if piece:
                first_token = first_token or time.perf_counter_ns() - asked_at
                pieces.append(piece)
                write(piece)
            if chunk.get("done") is True:
                final = chunk
    if final is None:
        raise AnswerError(f"{client.address} broke off its answer", http_status=200)
    return Answer("".join(pieces), AnswerTiming.from_wire(final, first_token=first_token))


def _piece(chunk: JsonObject) -> str:
    message = chunk.get("message")
    text = message.get("content") if isinstance(message, dict) else chunk.get("response")
    return text if isinstance(text, str) else ""
