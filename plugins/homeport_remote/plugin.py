"""Declares the backend."""

from collections.abc import Iterable

from homeport import BackendKind, BackendSpec, hookimpl
from homeport_remote.config import RemoteConfig


@hookimpl
def homeport_backends() -> Iterable[BackendSpec]:
    """Offer the models of other servers, each server a backend ``remote-NAME``; off until one is listed."""
    yield BackendSpec(
        name="remote",
        kind=BackendKind.REMOTE,
        is_many=True,
        factory="homeport_remote.backend:build",
        check="homeport_remote.check:findings",
        config=RemoteConfig,
    )
