"""Declares the backend; imports nothing of it."""

from collections.abc import Iterable

from homeport import BackendKind, BackendSpec, hookimpl
from homeport_parrot.config import ParrotConfig


@hookimpl
def homeport_backends() -> Iterable[BackendSpec]:
    """Offer ``parrot``."""
    yield BackendSpec(
        name="parrot",
        kind=BackendKind.REMOTE,
        factory="homeport_parrot.backend:ParrotBackend",
        config=ParrotConfig,
    )
