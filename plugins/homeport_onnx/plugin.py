"""Declares the backend; imports nothing heavy."""

from collections.abc import Iterable

from homeport import BackendKind, BackendSpec, StoredForm, hookimpl
from homeport_onnx.config import BUILDER_VERSION, OnnxConfig


@hookimpl
def homeport_backends() -> Iterable[BackendSpec]:
    """Offer ``onnx-cpu``."""
    yield BackendSpec(
        name="onnx-cpu",
        kind=BackendKind.LOCAL,
        factory="homeport_onnx.model:OnnxModel",
        builder="homeport_onnx.builder:OnnxBuilder",
        builder_version=BUILDER_VERSION,
        check="homeport_onnx.machine_check:findings",
        reads=frozenset({StoredForm.SAFETENSORS, StoredForm.ONNX}),
        config=OnnxConfig,
        requires=("numpy>=2", "onnx>=1.19", "onnxruntime>=1.30", "safetensors>=0.6"),
        extra="onnx",
    )
