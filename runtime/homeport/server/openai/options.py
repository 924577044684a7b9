"""The sampling fields of OpenAI's requests, and homeport's own beside them, as options."""

from homeport.domain.errors import InvalidRequestError
from homeport.server.limits import MAX_INTEGER, MAX_SEED, NumberT, at_most, within
from homeport.server.options import Options
from homeport.server.quoting import shown
from homeport.server.schemas.openai import InferenceRequest

DEFAULTS = Options(temperature=1.0, top_p=1.0)
"""Where neither the request nor the model says anything; the rest is as for Ollama."""

_MOST_STOPS = 16
_LEAST_REPEAT_PENALTY = 1e-6
_TRUNCATIONS = ("auto", "disabled")


def read_options(body: InferenceRequest, max_tokens: int | None) -> Options:
    """Translate the fields of a request.

    Raises:
        InvalidRequestError: One is out of range.
    """
    penalty = body.repetition_penalty if body.repeat_penalty is None else body.repeat_penalty
    return Options(
        num_predict=max_tokens,
        num_ctx=bounded("num_ctx", body.num_ctx, 0, MAX_INTEGER),
        temperature=bounded("temperature", body.temperature, 0, 2),
        top_p=bounded("top_p", body.top_p, 0, 1),
        top_k=bounded("top_k", body.top_k, -1, MAX_INTEGER),
        min_p=bounded("min_p", body.min_p, 0, 1),
        repeat_penalty=bounded("repeat_penalty", penalty, _LEAST_REPEAT_PENALTY, float("inf")),
        presence_penalty=bounded("presence_penalty", body.presence_penalty, -2, 2),
        frequency_penalty=bounded("frequency_penalty", body.frequency_penalty, -2, 2),
        seed=bounded("seed", body.seed, -MAX_SEED, MAX_SEED),
        stop=_stop(body.stop),
    )


def cuts_prompts(body: InferenceRequest) -> bool:
    """Tell whether a prompt over the window is cut (the default) or refused.

    Raises:
        InvalidRequestError: ``truncation`` is neither ``auto`` nor ``disabled``.
    """
    if body.truncation is not None and body.truncation not in _TRUNCATIONS:
        message = f"truncation must be one of auto, disabled, got {shown(body.truncation)}"
        raise InvalidRequestError(message, field="truncation")
    return body.truncation != "disabled"


def bounded(field: str, value: NumberT | None, low: float, high: float) -> NumberT | None:
    """Check a number where it is given.

    Raises:
        InvalidRequestError: It is out of range.
    """
    return None if value is None else within(field, value, low, high)


def _stop(value: str | list[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    texts = (value,) if isinstance(value, str) else tuple(value)
    at_most("stop", len(texts), _MOST_STOPS, "texts")
    return texts
