"""What is not built yet and must not be ignored in silence."""

import msgspec

from homeport.domain.errors import InvalidRequestError, UnsupportedError
from homeport.models.names import ModelName
from homeport.server.quoting import shown


def is_given(value: object) -> bool:
    """Tell a value from null, false, and empty texts, lists and objects, which ask for nothing."""
    return value is not None and value is not False and value not in ("", [], {})


def refuse_given(request: msgspec.Struct, *fields: str) -> None:
    """Refuse fields that a client relies on.

    Raises:
        InvalidRequestError: One of them is given; names it and its value.
    """
    for field in fields:
        value = getattr(request, field)
        if is_given(value):
            raise InvalidRequestError(f"{field} is not supported yet, got {shown(value)}", field=field)


def lacks_capability(model: str, capability: str, *, field: str | None = None) -> UnsupportedError:
    """Say with the whole name of a model what it cannot do."""
    return UnsupportedError(f"{ModelName.parse(model).full} does not support {capability}", field=field)
