"""The sampling fields that requests under ``/v1`` have in common, as options."""

from typing import Protocol

from homeport.server.limits import LEAST_REPEAT_PENALTY, MAX_INTEGER, bounded
from homeport.server.options import Options

DEFAULTS = Options(temperature=1.0, top_p=1.0)
"""Where neither the request nor the model says anything; the rest is as for Ollama."""


class SamplingBody(Protocol):
    """What bodies of requests for text have in common; ``repeat_penalty`` wins over its other name."""

    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    num_ctx: int | None
    repetition_penalty: float | None
    repeat_penalty: float | None


def read_sampling(body: SamplingBody, max_tokens: int | None) -> Options:
    """Translate the fields of a request.

    Args:
        body: Of it.
        max_tokens: Bound of generated tokens, which has another name in each dialect.

    Raises:
        InvalidRequestError: One is out of range.
    """
    penalty = body.repetition_penalty if body.repeat_penalty is None else body.repeat_penalty
    return Options(
        num_predict=max_tokens,
        num_ctx=read_window(body.num_ctx),
        temperature=bounded("temperature", body.temperature, 0, 2),
        top_p=bounded("top_p", body.top_p, 0, 1),
        top_k=bounded("top_k", body.top_k, -1, MAX_INTEGER),
        min_p=bounded("min_p", body.min_p, 0, 1),
        repeat_penalty=bounded("repeat_penalty", penalty, LEAST_REPEAT_PENALTY),
    )


def read_window(tokens: int | None) -> int | None:
    """Read ``num_ctx``.

    Raises:
        InvalidRequestError: It is out of range.
    """
    return bounded("num_ctx", tokens, 0, MAX_INTEGER)
