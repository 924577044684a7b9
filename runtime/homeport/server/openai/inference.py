"""What chat completions and completions share: sampling, several choices, usage."""

from collections.abc import Sequence
from uuid import uuid4

import attrs
from aiohttp import web

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import GenerationRequest, Prompt, Usage
from homeport.domain.models import ModelInfo
from homeport.server.keep_alive import read_keep_alive
from homeport.server.limits import MAX_CHOICES, MAX_INTEGER, MAX_SEED, at_most, within
from homeport.server.option_fields import model_options
from homeport.server.options import Options
from homeport.server.quoting import shown
from homeport.server.refusals import refuse_given
from homeport.server.request_ids import generation_id
from homeport.server.schemas import openai as schema

_MOST_N = 8
_MOST_STOPS = 16
_ID_DIGITS = 24
_DEFAULTS = Options(temperature=1.0, top_p=1.0)
"""Where neither the request nor the model says anything."""

_LATER = (
    "logit_bias",
    "ttl",
    "ignore_eos",
    "chat_template_kwargs",
    "structured_outputs",
    "guided_json",
    "guided_regex",
)
_TRUNCATIONS = ("auto", "disabled")


def read_options(body: schema.InferenceRequest, max_tokens: int | None) -> Options:
    """Translate the sampling fields of a request.

    Raises:
        InvalidRequestError: One is out of range, or not built yet.
    """
    refuse_given(body, *_LATER)
    penalty = body.repetition_penalty if body.repeat_penalty is None else body.repeat_penalty
    return Options(
        num_predict=max_tokens,
        num_ctx=_bounded("num_ctx", body.num_ctx, 0, MAX_INTEGER),
        temperature=_bounded("temperature", body.temperature, 0, 2),
        top_p=_bounded("top_p", body.top_p, 0, 1),
        top_k=_bounded("top_k", body.top_k, -1, MAX_INTEGER),
        min_p=_bounded("min_p", body.min_p, 0, 1),
        repeat_penalty=_bounded("repeat_penalty", penalty, 1e-6, float("inf")),
        presence_penalty=_bounded("presence_penalty", body.presence_penalty, -2, 2),
        frequency_penalty=_bounded("frequency_penalty", body.frequency_penalty, -2, 2),
        seed=_bounded("seed", body.seed, -MAX_SEED, MAX_SEED),
        stop=_stop(body.stop),
    )
