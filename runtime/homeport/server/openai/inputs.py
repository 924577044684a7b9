"""The field that holds a text, texts, token ids, or lists of token ids."""

from homeport.domain.errors import InvalidRequestError
from homeport.server.limits import check_token_ids

Given = str | list[str | int | list[int]] | None


def read_inputs(field: str, value: Given) -> list[str | tuple[int, ...]]:
    """Read the field as a list of texts and of token ids; null and the empty list give none.

    Raises:
        InvalidRequestError: It mixes kinds, or holds impossible ids.
    """
    if isinstance(value, str):
        return [value]
    if not value:
        return []
    ids = [item for item in value if isinstance(item, int)]
    if len(ids) == len(value):
        return [_tokens(field, ids)]
    if ids or len({type(item) for item in value}) > 1:
        message = f"invalid request: {field}: expected only texts, only token ids or only lists of token ids"
        raise InvalidRequestError(message, field=field)
    return [
        _tokens(f"{field}[{place}]", item) if isinstance(item, list) else str(item)
        for place, item in enumerate(value)
    ]


def _tokens(field: str, ids: list[int]) -> tuple[int, ...]:
    check_token_ids(field, ids)
    return tuple(ids)
