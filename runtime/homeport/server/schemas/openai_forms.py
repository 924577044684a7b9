"""The forms of ``openai.Completion`` with the choices of each route, for the description of the API."""

from typing import Literal

from homeport.server.schemas.openai import ChatChoice, ChatChunkChoice, Completion, TextChoice


class ChatCompletion(Completion, kw_only=True):
    """The answer of ``POST /v1/chat/completions``."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class ChatCompletionChunk(Completion, kw_only=True):
    """A chunk of its stream."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChatChunkChoice]


class TextCompletion(Completion, kw_only=True):
    """The answer of ``POST /v1/completions``, and a chunk of its stream."""

    object: Literal["text_completion"]
    choices: list[TextChoice]
