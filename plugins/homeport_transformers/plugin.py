"""Declares the backend; imports nothing heavy."""

from collections.abc import Iterable

from homeport import BackendKind, BackendSpec, hookimpl
from homeport_transformers.config import TransformersConfig


@hookimpl
def homeport_backends() -> Iterable[BackendSpec]:
    """Offer ``transformers-cpu``."""
    yield BackendSpec(
        name="transformers-cpu",
        kind=BackendKind.LOCAL,
        factory="homeport_transformers.model:TransformersModel",
        check="homeport_transformers.native_check:findings",
        config=TransformersConfig,
        requires=("numpy>=2", "safetensors>=0.6", "torch>=2.13", "transformers>=5.3"),
        extra="transformers",
    )
