"""What a key allows."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """What a key must allow; ``public`` needs none, and who may administer may do all."""

    PUBLIC = "public"
    INFER = "infer"
    MONITOR = "monitor"
    ADMIN = "admin"


GRANTABLE = (Scope.INFER, Scope.MONITOR, Scope.ADMIN)
"""What a key can be made for."""


def implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Give all that scopes allow: ``admin`` has the others."""
    given = frozenset(scopes)
    return given | frozenset(GRANTABLE) if Scope.ADMIN in given else given
