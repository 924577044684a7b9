"""What goes over the wire of a route, told for the description of the API."""

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

JSON = "application/json"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
TEXT = "text/plain"
BYTES = "application/octet-stream"


@attrs.frozen(kw_only=True)
class Wire:
    """What a route takes and gives.

    Attributes:
        request: Struct of its body; None takes none.
        answer: Struct of its whole answer; None is one without a body, or with text.
        chunks: Structs of the pieces of its stream; none never streams.
        streams_as: Media type of that stream.
        media_type: Of the answer.
        sends: Media type of the body.
        status: Of success.
        others: Structs of answers with further statuses.
        example: A body that makes sense.
        infers: Whether a model, a queue or another server stands behind it.
    """

    request: type[msgspec.Struct] | None = None
    answer: type[msgspec.Struct] | None = None
    chunks: tuple[type[msgspec.Struct], ...] = ()
    streams_as: str = NDJSON
    media_type: str = JSON
    sends: str = JSON
    status: int = 200
    others: Mapping[int, type[msgspec.Struct] | None] = attrs.field(factory=dict)
    example: Mapping[str, Any] | None = None
    infers: bool = False

    @property
    def structs(self) -> tuple[type[msgspec.Struct], ...]:
        """List all structs, in the order of their use."""
        named = (self.request, self.answer, *self.chunks, *self.others.values())
        return tuple(dict.fromkeys(struct for struct in named if struct is not None))
