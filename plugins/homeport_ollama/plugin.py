"""Declares the backend."""

from collections.abc import Iterable

from homeport import BackendKind, BackendSpec, hookimpl
from homeport_ollama.config import OllamaConfig


@hookimpl
def homeport_backends() -> Iterable[BackendSpec]:
    """Offer the models of an Ollama that runs already; off until its address is set."""
    yield BackendSpec(
        name="ollama-legacy",
        kind=BackendKind.REMOTE,
        factory="homeport_ollama.backend:build",
        check="homeport_ollama.check:findings",
        config=OllamaConfig,
    )
