"""Vectors of other servers, checked and brought into the form that was asked for."""

import math
from collections.abc import Sequence

from homeport.domain.embedding import EmbeddingRequest
from homeport.domain.errors import BackendError

Vector = Sequence[float]


def finished_vectors(
    backend: str, vectors: Sequence[Vector], request: EmbeddingRequest
) -> tuple[tuple[float, ...], ...]:
    """Shorten and normalise vectors as was asked: an older server may have done neither.

    Raises:
        BackendError: There are too few or too many, they differ in width, or hold what is no number.
    """
    count = len(request.inputs)
    if len(vectors) != count or len({len(vector) for vector in vectors}) > 1:
        raise BackendError(
            f"backend {backend!r} gave {len(vectors)} vectors, of one width or not, for {count}"
        )
    if not all(vector and all(map(math.isfinite, vector)) for vector in vectors):
        raise BackendError(f"backend {backend!r} gave a vector that is empty or not of numbers")
    return tuple(_finished(vector, request) for vector in vectors)


def _finished(vector: Vector, request: EmbeddingRequest) -> tuple[float, ...]:
    shortened = vector[: request.dimensions]
    length = math.hypot(*shortened) if request.normalize else 1.0
    return tuple(number / length for number in shortened) if length else tuple(shortened)
