"""The sampling fields of OpenAI's chat completions and completions as options."""

import attrs

from homeport.domain.errors import InvalidRequestError
from homeport.server.limits import MAX_INTEGER, MAX_SEED, at_most, bounded
from homeport.server.options import Options
from homeport.server.quoting import shown
from homeport.server.sampling_fields import read_sampling
from homeport.server.schemas.openai import ChatRequest, InferenceRequest

_MOST_STOPS = 16
_TRUNCATIONS = ("auto", "disabled")


def read_options(body: InferenceRequest, max_tokens: int | None) -> Options:
    """Translate the fields of a request.

    Raises:
        InvalidRequestError: One is out of range.
    """
    return attrs.evolve(
        read_sampling(body, max_tokens),
        presence_penalty=bounded("presence_penalty", body.presence_penalty, -2, 2),
        frequency_penalty=bounded("frequency_penalty", body.frequency_penalty, -2, 2),
        seed=bounded("seed", body.seed, -MAX_SEED, MAX_SEED),
        stop=_stop(body.stop),
    )


def read_max_tokens(body: ChatRequest) -> int | None:
    """Read the bound of an answer; the newer of the two fields wins.

    Raises:
        InvalidRequestError: One is out of range.
    """
    newer = bounded("max_completion_tokens", body.max_completion_tokens, 1, MAX_INTEGER)
    older = bounded("max_tokens", body.max_tokens, 1, MAX_INTEGER)
    return older if newer is None else newer


def cuts_prompts(truncation: str | None) -> bool:
    """Tell whether a prompt over the window is cut (the default) or refused.

    Raises:
        InvalidRequestError: ``truncation`` is neither ``auto`` nor ``disabled``.
    """
    if truncation is not None and truncation not in _TRUNCATIONS:
        message = f"truncation must be one of {', '.join(_TRUNCATIONS)}, got {shown(truncation)}"
        raise InvalidRequestError(message, field="truncation")
    return truncation != "disabled"


def _stop(value: str | list[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    texts = (value,) if isinstance(value, str) else tuple(value)
    at_most("stop", len(texts), _MOST_STOPS, "texts")
    return texts
