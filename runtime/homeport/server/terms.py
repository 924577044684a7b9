"""From a header and the object ``homeport`` to the priority and the terms of a request."""

from enum import StrEnum
from typing import TypeVar

import attrs
from aiohttp import web

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import Priority
from homeport.domain.terms import Strategy, StreamFailure, Terms
from homeport.server.hops import read_hops
from homeport.server.limits import MAX_SEED, at_most, within
from homeport.server.privileges import require_admin
from homeport.server.quoting import shown
from homeport.server.schemas.terms import RequestTerms

PRIORITY_HEADER = "x-homeport-priority"
MAX_DEADLINE_SECONDS = 24 * 3600.0
MAX_TAGS = 16
MAX_NAME_CHARACTERS = 128
_LEAST_DEADLINE_SECONDS = 0.001

EnumT = TypeVar("EnumT", bound=StrEnum)


@attrs.frozen
class Asked:
    """What a request asks of the gateway."""

    priority: Priority
    terms: Terms


def read_terms(request: web.Request, given: RequestTerms | None) -> Asked:
    """Read what a request asks of the gateway; the object wins over the header.

    Raises:
        InvalidRequestError: A value is out of range or unknown; names it.
        ForbiddenError: It is urgent beyond what the key allows.
    """
    given = given or RequestTerms()
    header = request.headers.get(PRIORITY_HEADER)
    if given.priority is not None:
        priority = _priority("homeport.priority", given.priority)
    else:
        priority = Priority.NORMAL if header is None else _priority(PRIORITY_HEADER, header)
    if priority is Priority.CRITICAL:
        require_admin(request, "the priority critical")
    return Asked(priority, attrs.evolve(_terms(given), hops=read_hops(request.headers)))


def _terms(given: RequestTerms) -> Terms:
    return Terms(
        deadline_seconds=_bounded(
            "deadline_seconds", given.deadline_seconds, _LEAST_DEADLINE_SECONDS, MAX_DEADLINE_SECONDS
        ),
        agent=_name("agent", given.agent),
        job=_name("job", given.job),
        tags=_tags(given.tags or []),
        task=_name("task", given.task),
        session=_name("session", given.session),
        local_only=bool(given.local_only),
        strategy=_choice("strategy", given.strategy, Strategy),
        on_stream_failure=_choice("on_stream_failure", given.on_stream_failure, StreamFailure)
        or StreamFailure.ERROR,
        seed=None if given.seed is None else within("homeport.seed", given.seed, 0, MAX_SEED),
    )


def _priority(field: str, value: str) -> Priority:
    try:
        return Priority[value.strip().upper()]
    except KeyError:
        allowed = ", ".join(each.name.lower() for each in Priority)
        raise InvalidRequestError(
            f"{field} must be one of {allowed}, got {shown(value)}", field=field
        ) from None


def _bounded(name: str, value: float | None, least: float, most: float) -> float | None:
    return None if value is None else within(f"homeport.{name}", value, least, most)


def _name(name: str, value: str | None) -> str:
    field = f"homeport.{name}"
    at_most(field, len(value or ""), MAX_NAME_CHARACTERS, "characters")
    if value and not value.isprintable():
        raise InvalidRequestError(f"{field} must be printable, got {shown(value)}", field=field)
    return value or ""


def _tags(values: list[str]) -> tuple[str, ...]:
    at_most("homeport.tags", len(values), MAX_TAGS, "texts")
    return tuple(_name("tags", value) for value in values)


def _choice(name: str, value: str | None, kind: type[EnumT]) -> EnumT | None:
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        field = f"homeport.{name}"
        message = f"{field} must be one of {', '.join(kind)}, got {shown(value)}"
        raise InvalidRequestError(message, field=field) from None
