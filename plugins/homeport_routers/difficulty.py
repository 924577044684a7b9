"""How hard a request is, from 0 to 1, by features that can be listed.

A logistic function of the weighted features. The weights were fitted to prompts of ours with a level each and
to arithmetic problems that were generated with a known number of steps;
``python -m benchmarks.router_training`` writes them.
"""

import json
import math
from importlib.resources import files
from typing import Self

import attrs

from homeport import LoadError
from homeport_routers.features import NAMES, features

ARTEFACT = "difficulty.json"
_TOLD = 3
"""Features that a note tells."""


@attrs.frozen(kw_only=True)
class Difficulty:
    """Fitted weights.

    Attributes:
        weights: One for each of ``features.NAMES``.
        bias: What a text without any feature gets.
    """

    weights: tuple[float, ...]
    bias: float

    @classmethod
    def shipped(cls) -> Self:
        """Read the file that is installed with the plugin.

        Raises:
            LoadError: It is damaged.
        """
        return cls.parse((files("homeport_routers") / ARTEFACT).read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a file's text: ``{"bias": number, "weights": {feature: number}}``.

        Raises:
            LoadError: It is something else.
        """
        try:
            content = json.loads(text)
            weights = [_finite(content["weights"][name]) for name in NAMES]
            return cls(bias=_finite(content["bias"]), weights=tuple(weights))
        except (ValueError, KeyError, TypeError) as error:
            raise LoadError(
                f"the difficulty weights of homeport_routers are damaged: {error!r}",
                hint="install homeport again",
            ) from error

    def score(self, text: str) -> float:
        """Give the difficulty of a text, 0 to 1."""
        return self.explain(text)[0]

    def explain(self, text: str) -> tuple[float, tuple[str, ...]]:
        """Give the difficulty of a text and the features that raise it most, the strongest first."""
        parts = [
            (weight * value, name)
            for weight, value, name in zip(self.weights, features(text), NAMES, strict=True)
        ]
        logit = self.bias + sum(part for part, _ in parts)
        told = tuple(name for part, name in sorted(parts, reverse=True)[:_TOLD] if part > 0)
        return 1 / (1 + math.exp(-logit)), told


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)
