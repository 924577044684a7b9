"""Sampling and load options under Ollama's names, which both dialects are translated into."""

from typing import Self, TypeVar

import attrs

from homeport.domain.generation import Sampling
from homeport.server.limits import MAX_SEED

LEAST_CONTEXT = 4
"""A smaller window is raised to this many tokens, as Ollama does."""

_RANDOM_SEED = -1
_LEAST_TOP_P = 1e-6
"""A ``top_p`` of 0 keeps the likeliest token only, and so does this."""

ValueT = TypeVar("ValueT")


@attrs.frozen(kw_only=True)
class Options:
    """Options that were given; None is not given.

    Attributes:
        num_predict: Bound of generated tokens; negative is none.
        num_ctx: Window wanted, in tokens.
        top_k: At most 0 keeps all tokens.
        seed: -1 draws one.
    """

    num_predict: int | None = None
    num_ctx: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_last_n: int | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None

    def over(self, weaker: "Options") -> Self:
        """Take what is not given here from weaker options."""
        names = [field.name for field in attrs.fields(Options)]
        return type(self)(**{name: _either(getattr(self, name), getattr(weaker, name)) for name in names})

    @property
    def context_length(self) -> int | None:
        """The window wanted, never below the least one."""
        return None if self.num_ctx is None else max(self.num_ctx, LEAST_CONTEXT)

    def sampling(self, *, top_logprobs: int | None) -> Sampling:
        """Fill in the defaults."""
        default = Sampling()
        return Sampling(
            temperature=_either(self.temperature, default.temperature),
            top_k=max(_either(self.top_k, default.top_k), 0),
            top_p=max(_either(self.top_p, default.top_p), _LEAST_TOP_P),
            min_p=_either(self.min_p, default.min_p),
            typical_p=min(_either(self.typical_p, default.typical_p), 1.0),
            repeat_penalty=_either(self.repeat_penalty, default.repeat_penalty),
            repeat_last_n=_either(self.repeat_last_n, default.repeat_last_n),
            presence_penalty=_either(self.presence_penalty, default.presence_penalty),
            frequency_penalty=_either(self.frequency_penalty, default.frequency_penalty),
            seed=None if self.seed in (None, _RANDOM_SEED) else self.seed & MAX_SEED,
            stop=tuple(text for text in self.stop or () if text),
            max_tokens=None if self.num_predict is None or self.num_predict < 0 else self.num_predict,
            top_logprobs=top_logprobs,
        )


def _either(stronger: ValueT | None, weaker: ValueT) -> ValueT:
    return weaker if stronger is None else stronger
