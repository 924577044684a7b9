"""From a request to the JSON that other servers take."""

import math
from collections.abc import Mapping

import attrs

from homeport import (
    ChatPrompt,
    EmbeddingRequest,
    FillPrompt,
    GenerationRequest,
    InvalidRequestError,
    Priority,
    Request,
    Sampling,
    TextPrompt,
    TokenPrompt,
    UnsupportedError,
)
from homeport_remote.config import Kind
from homeport_remote.conversations import conversation, form

_MOST_TEXT_LOGPROBS = 5
"""Alternatives that ``/v1/completions`` reports at most."""


@attrs.frozen
class Call:
    """A route and what is sent to it."""

    path: str
    body: Mapping[str, object]


def generation(request: GenerationRequest, model: str, kind: Kind) -> Call:
    """Choose the route for a prompt, and spell it.

    Args:
        request: What is asked.
        model: What the model is called there.
        kind: What the server is; another homeport understands more.

    Raises:
        UnsupportedError: No such server can take it.
    """
    sampling = request.sampling
    if sampling.labels or sampling.prompt_logprobs:
        raise UnsupportedError("another server does not tell how likely a given text is", field="model")
    body: dict[str, object] = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        **_sampling(sampling),
    }
    if request.constraint is not None:
        body |= form(request.constraint, kind)
    if kind is Kind.HOMEPORT:
        body |= _own_sampling(sampling)
        body |= {"truncation": "auto" if request.truncate else "disabled", "homeport": _terms(request)}
        body |= _keep_alive(request.keep_alive_seconds)
        if request.context_length is not None:
            body["num_ctx"] = request.context_length
    path, said = _said(request, kind)
    return Call(path, body | said)


def _said(request: GenerationRequest, kind: Kind) -> tuple[str, dict[str, object]]:
    """Choose the route for a prompt, and spell it alone."""
    sampling = request.sampling
    match request.prompt:
        case ChatPrompt(context=context) if context:
            raise UnsupportedError("another server cannot go on behind token ids", field="context")
        case ChatPrompt() if request.begun:
            raise UnsupportedError("another server cannot go on with an answer that was begun elsewhere")
        case ChatPrompt() as prompt:
            return "chat/completions", conversation(prompt, kind) | _chat_logprobs(sampling)
        case FillPrompt(prefix=prefix, suffix=suffix):
            return "completions", {
                "prompt": prefix + request.begun,
                "suffix": suffix,
                **_text_logprobs(sampling),
            }
        case TextPrompt(text=text):
            return "completions", {"prompt": text + request.begun, **_text_logprobs(sampling)}
        case TokenPrompt(tokens=tokens) if not request.begun:
            return "completions", {"prompt": tokens, **_text_logprobs(sampling)}
        case _:
            raise UnsupportedError("another server cannot go on with text behind token ids", field="prompt")


def embedding(request: EmbeddingRequest, model: str, kind: Kind) -> Call:
    """Spell texts to embed."""
    body: dict[str, object] = {"model": model, "input": request.inputs, "encoding_format": "float"}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if kind is Kind.HOMEPORT:
        body |= {"homeport": _terms(request), **_keep_alive(request.keep_alive_seconds)}
    return Call("embeddings", body)


def _sampling(sampling: Sampling) -> dict[str, object]:
    """Spell what every server knows; it may refuse names that it does not know."""
    if sampling.max_tokens is not None and sampling.max_tokens < 1:
        message = f"max_tokens is {sampling.max_tokens}, another server takes 1 or more"
        raise InvalidRequestError(message, field="max_tokens")
    optional = {
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "stop": sampling.stop or None,
        "presence_penalty": sampling.presence_penalty or None,
        "frequency_penalty": sampling.frequency_penalty or None,
        "logit_bias": {str(token): bias for token, bias in sampling.logit_bias} or None,
    }
    given = {name: value for name, value in optional.items() if value is not None}
    return {"temperature": sampling.temperature, "top_p": sampling.top_p, **given}


def _own_sampling(sampling: Sampling) -> dict[str, object]:
    return {
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repeat_penalty,
    }


def _chat_logprobs(sampling: Sampling) -> dict[str, object]:
    count = sampling.top_logprobs
    return {} if count is None else {"logprobs": True, "top_logprobs": count}


def _text_logprobs(sampling: Sampling) -> dict[str, object]:
    count = sampling.top_logprobs
    return {} if count is None else {"logprobs": min(count, _MOST_TEXT_LOGPROBS)}


def _keep_alive(seconds: float | None) -> dict[str, object]:
    return {} if seconds is None else {"keep_alive": -1 if math.isinf(seconds) else seconds}


def _terms(request: Request) -> dict[str, object]:
    """Spell how urgent a request is, when it must be done and whether it may travel on.

    Who asks is nobody else's business.
    """
    urgency = max(request.priority, Priority.HIGH)  # the highest class is for admins of the other homeport
    terms: dict[str, object] = {"priority": urgency.name.lower()}
    if request.terms.deadline_seconds is not None:
        terms["deadline_seconds"] = request.terms.deadline_seconds
    if request.terms.task:
        terms["task"] = request.terms.task
    if request.terms.local_only:
        terms["local_only"] = True
    return terms
