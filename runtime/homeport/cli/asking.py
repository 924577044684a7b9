"""One question to a model and its streamed answer."""

import time
from collections.abc import Mapping
from typing import Protocol

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
        form: ``"json"`` or a JSON Schema that the answer follows; None leaves it free.
        think: Whether it thinks first, or how hard: ``high``; None leaves that to the server.
    """

    model: str
    system: str | None = None
    options: Mapping[str, object] = attrs.field(factory=dict)
    keep_alive: str | float | None = None
    form: str | Mapping[str, object] | None = None
    think: str | bool | None = None

    def body(self) -> dict[str, object]:
        """Give the fields of a request that do not depend on the question."""
        fields = {
            "model": self.model,
            "options": dict(self.options) or None,
            "keep_alive": self.keep_alive,
            "format": self.form,
            "think": self.think,
        }
        return {name: value for name, value in fields.items() if value is not None}


@attrs.frozen(kw_only=True)
class Answer:
    """What a model said, what it thought before, how long it took, and the final chunk as it came."""

    text: str
    thoughts: str
    timing: AnswerTiming
    final: JsonObject


class Listener(Protocol):
    """Takes an answer as it comes."""

    def write(self, piece: str) -> None:
        """Take a piece of the answer."""

    def think(self, piece: str) -> None:
        """Take a piece of what the model thinks before it answers."""


class Silence:
    """Listens to an answer and shows nothing of it."""

    def write(self, piece: str) -> None:
        """Let it pass."""

    def think(self, piece: str) -> None:
        """Let it pass."""


def generate(client: Client, manner: Manner, prompt: str, listener: Listener) -> Answer:
    """Ask one question without history.

    Raises:
        AnswerError: The server refused, failed, or broke off.
    """
    system = {} if manner.system is None else {"system": manner.system}
    return _stream(client, "/api/generate", {**manner.body(), **system, "prompt": prompt}, listener)


def chat(client: Client, manner: Manner, messages: list[ChatMessage], listener: Listener) -> Answer:
    """Ask with a history.

    Raises:
        AnswerError: The server refused, failed, or broke off.
    """
    system = [] if manner.system is None else [{"role": "system", "content": manner.system}]
    return _stream(client, "/api/chat", {**manner.body(), "messages": [*system, *messages]}, listener)


def _stream(client: Client, path: str, body: JsonObject, listener: Listener) -> Answer:
    pieces: list[str] = []
    thoughts: list[str] = []
    final: JsonObject | None = None
    asked_at = time.perf_counter_ns()
    first_token = 0
    with client.stream(path, body) as chunks:
        for chunk in chunks:
            thought, piece = _pieces(chunk)
            if thought or piece:
                first_token = first_token or time.perf_counter_ns() - asked_at
            if thought:
                thoughts.append(thought)
                listener.think(thought)
            if piece:
                pieces.append(piece)
                listener.write(piece)
            if chunk.get("done") is True:
                final = chunk
    if final is None:
        raise AnswerError(f"{client.address} broke off its answer", http_status=200)
    timing = AnswerTiming.from_wire(final, first_token=first_token)
    return Answer(text="".join(pieces), thoughts="".join(thoughts), timing=timing, final=final)


def _pieces(chunk: JsonObject) -> tuple[str, str]:
    """Read the thought and the text of a chunk, either of which may be missing."""
    message = chunk.get("message")
    holder, key = (message, "content") if isinstance(message, dict) else (chunk, "response")
    thought, text = holder.get("thinking"), holder.get(key)
    return thought if isinstance(thought, str) else "", text if isinstance(text, str) else ""
