"""Declares the backend, the source and the verb; imports nothing heavy."""

from collections.abc import Iterable

from homeport import BackendKind, BackendSpec, CommandSpec, ModelSourceSpec, hookimpl
from homeport_ollama.config import OllamaConfig
from homeport_ollama.store_config import OllamaStoreConfig

STORE = "ollama-store"
"""The source and the verb read ``[plugins.ollama-store]``."""


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


@hookimpl
def homeport_model_sources() -> Iterable[ModelSourceSpec]:
    """Offer the models that an Ollama on this machine has downloaded."""
    yield ModelSourceSpec(name=STORE, factory="homeport_ollama.store:build", config=OllamaStoreConfig)


@hookimpl
def homeport_commands() -> Iterable[CommandSpec]:
    """Offer ``homeport migrate``."""
    yield CommandSpec(
        name="migrate",
        summary="Move a project from Ollama to homeport, and back",
        table=STORE,
        factory="homeport_ollama.migrate.command:migrate_command",
        config=OllamaStoreConfig,
        keeps_state=True,
    )
