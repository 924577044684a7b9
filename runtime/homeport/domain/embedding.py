"""A request for vectors and its answer."""

import attrs

from homeport.domain.generation import Priority
from homeport.domain.terms import Terms


@attrs.frozen(kw_only=True)
class EmbeddingRequest:
    """Texts to embed.

    Attributes:
        id: Names the request in logs.
        model: The name as the client sent it.
        inputs: Texts, or ids of the model's own vocabulary.
        truncate: Cut an input that exceeds the window (True) or refuse it (False).
        normalize: Scale each vector to length 1 whatever the model's files say.
        dimensions: Keep only the first n components (and normalise again); None keeps all.
        keep_alive_seconds: As in a generation request.
        priority: Likewise.
        owner: Likewise.
        terms: Likewise.
    """

    id: str
    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    truncate: bool = True
    normalize: bool = True
    dimensions: int | None = None
    keep_alive_seconds: float | None = None
    priority: Priority = Priority.NORMAL
    owner: str = ""
    terms: Terms = Terms()


@attrs.frozen
class EmbeddingResult:
    """One vector per input, in order.

    Attributes:
        vectors: The vectors.
        prompt_tokens: Tokens read.
        load_seconds: How long the request waited for the model; 0 where the backend does not tell.
    """

    vectors: tuple[tuple[float, ...], ...]
    prompt_tokens: int
    load_seconds: float = 0.0
