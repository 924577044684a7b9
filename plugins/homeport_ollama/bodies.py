"""From a request to the JSON that Ollama takes."""

import math
from collections.abc import Mapping

import attrs

from homeport import (
    ChatPrompt,
    EmbeddingRequest,
    FillPrompt,
    GenerationRequest,
    InvalidRequestError,
    Role,
    Sampling,
    TextPrompt,
    UnsupportedError,
)
from homeport_ollama.conversations import conversation, form, thinking

FOREVER = -1
"""What Ollama takes as keep-alive without an end, and as a bound of tokens that is none."""


@attrs.frozen
class Call:
    """A route and what is sent to it."""

    path: str
    body: Mapping[str, object]


def generation(request: GenerationRequest, *, thinks: bool) -> Call:
    """Choose the route for a prompt, and spell it.

    Args:
        request: What is asked.
        thinks: Whether the model can think before it answers.

    Raises:
        UnsupportedError: Ollama cannot take it.
    """
    _check_sampling(request.sampling)
    body: dict[str, object] = {
        "model": request.model,
        "stream": True,
        "truncate": request.truncate,
        "options": _options(request.sampling, request.context_length),
        **keep_alive(request.keep_alive_seconds),
    }
    if thinks:
        body |= thinking(request.prompt)
    if request.constraint is not None:
        body["format"] = form(request.constraint)
    if request.sampling.top_logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.sampling.top_logprobs}
    match request.prompt:
        case TextPrompt(text=text):
            return Call("/api/generate", body | {"raw": True, "prompt": text + request.begun})
        case ChatPrompt() if request.begun:
            raise UnsupportedError("ollama-legacy cannot go on with an answer that another backend began")
        case ChatPrompt(context=context) as prompt if context:
            return Call("/api/generate", body | _continued(prompt))
        case ChatPrompt() as prompt:
            return Call("/api/chat", body | conversation(prompt))
        case FillPrompt(prefix=prefix, suffix=suffix):
            return Call("/api/generate", body | {"prompt": prefix + request.begun, "suffix": suffix})
        case _:
            raise UnsupportedError("ollama-legacy takes text, not token ids", field="prompt")


def embedding(request: EmbeddingRequest) -> Call:
    """Spell texts to embed."""
    body: dict[str, object] = {
        "model": request.model,
        "input": texts(request),
        "truncate": request.truncate,
        **keep_alive(request.keep_alive_seconds),
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return Call("/api/embed", body)


def single_embedding(request: EmbeddingRequest, text: str) -> Call:
    """Spell one text for the older route, whose vectors have the length that the model gives them."""
    body = {"model": request.model, "prompt": text, **keep_alive(request.keep_alive_seconds)}
    return Call("/api/embeddings", body)


def texts(request: EmbeddingRequest) -> list[str]:
    """Give the inputs.

    Raises:
        UnsupportedError: One is made of token ids.
    """
    given = [text for text in request.inputs if isinstance(text, str)]
    if len(given) < len(request.inputs):
        raise UnsupportedError("ollama-legacy takes text, not token ids", field="input")
    return given


def keep_alive(seconds: float | None) -> dict[str, object]:
    """Spell how long a model stays; nothing where the request does not say."""
    if seconds is None:
        return {}
    return {"keep_alive": FOREVER if math.isinf(seconds) else seconds}


def _check_sampling(sampling: Sampling) -> None:
    if sampling.labels or sampling.prompt_logprobs:
        raise UnsupportedError("ollama-legacy does not tell how likely a given text is", field="model")
    if sampling.logit_bias:
        raise UnsupportedError("ollama-legacy takes no logit_bias", field="logit_bias")


def _options(sampling: Sampling, context_length: int | None) -> dict[str, object]:
    if sampling.max_tokens is not None and sampling.max_tokens < 1:
        message = f"max_tokens is {sampling.max_tokens}, ollama-legacy takes 1 or more"
        raise InvalidRequestError(message, field="max_tokens")
    options: dict[str, object] = {
        "num_predict": FOREVER if sampling.max_tokens is None else sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repeat_penalty,
        "repeat_last_n": sampling.repeat_last_n,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
    }
    if sampling.typical_p < 1:
        options["typical_p"] = sampling.typical_p
    if sampling.seed is not None:
        options["seed"] = sampling.seed
    if sampling.stop:
        options["stop"] = sampling.stop
    if context_length is not None:
        options["num_ctx"] = context_length
    return options


def _continued(prompt: ChatPrompt) -> dict[str, object]:
    """Spell an exchange that goes on behind token ids, which only ``/api/generate`` takes."""
    said = [turn.content for turn in prompt.messages if turn.role is Role.USER]
    system = [turn.content for turn in prompt.messages if turn.role is Role.SYSTEM]
    if len(said) != 1 or len(said) + len(system) != len(prompt.messages):
        raise InvalidRequestError("context goes with one prompt, not with a conversation", field="context")
    body: dict[str, object] = {"prompt": said[0], "context": prompt.context}
    return body | {"system": "\n\n".join(system)} if system else body
