"""Sampling defaults that a model was published with, in Ollama's option names."""

import math
from collections.abc import Mapping

from homeport.models.conversion.fields import Fields
from homeport.models.records import Value

_GENERATION_CONFIG = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "repeat_penalty",
}
_GGUF = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "penalty_repeat": "repeat_penalty",
    "penalty_last_n": "repeat_last_n",
}
_WHOLE = frozenset({"top_k", "repeat_last_n"})


def from_generation_config(config: Mapping[str, object]) -> dict[str, Value]:
    """Translate generation_config.json; what is not a finite number is left out."""
    return _translate({key: config.get(key) for key in _GENERATION_CONFIG}, _GENERATION_CONFIG)


def from_gguf(fields: Fields) -> dict[str, Value]:
    """Translate ``general.sampling.*`` of a GGUF file."""
    own = fields.below("general.sampling.")
    return _translate({key: own.number(key) for key in _GGUF if own.has(key)}, _GGUF)


def _translate(values: Mapping[str, object], names: Mapping[str, str]) -> dict[str, Value]:
    translated: dict[str, Value] = {}
    for key, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            name = names[key]
            translated[name] = int(value) if name in _WHOLE else value
    return translated
