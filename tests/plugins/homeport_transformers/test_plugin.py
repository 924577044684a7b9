"""The plugin declares its backend without loading anything heavy."""

import importlib
import subprocess
import sys

from transformers import LlamaConfig

from homeport import BackendKind
from homeport_transformers.config import TransformersConfig
from homeport_transformers.plugin import homeport_backends

HEAVY = {"torch", "transformers", "numpy", "safetensors", "onnxruntime"}


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_plugin_imports_nothing_heavy():
    """Listing the backend in a fresh interpreter leaves every model library alone."""
    code = """
import sys
from homeport_transformers import plugin
list(plugin.homeport_backends())
print(*sys.modules)
"""

    assert not HEAVY & set(run(code).split())


def test_the_backend_names_its_parts():
    """The record leads to the model class, its settings and what must be installed."""
    [spec] = homeport_backends()
    module, _, name = spec.factory.partition(":")

    assert spec.name == "transformers-cpu"
    assert spec.kind is BackendKind.LOCAL
    assert spec.config is TransformersConfig
    assert spec.extra == "transformers"
    assert {requirement.partition(">=")[0] for requirement in spec.requires} == HEAVY - {"onnxruntime"}
    assert callable(getattr(importlib.import_module(module), name))


def test_a_llama_runs_without_transformers(pair, tmp_path):
    """The lean path loads and computes in a process that never imports transformers."""
    pair(
        LlamaConfig(
            vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4
        )
    )
    code = f"""
import sys
from pathlib import Path
from homeport import LoadPlan, TokenBatch, TokenRow
from homeport_transformers.config import TransformersConfig
from homeport_transformers.model import TransformersModel
model = TransformersModel(TransformersConfig())
model.load(Path({str(tmp_path)!r}), LoadPlan(context_length=64, slots=2, threads=1))
print(model.forward(TokenBatch((TokenRow(0, 0, [1, 2], 1),))).shape, "transformers" in sys.modules)
"""

    assert run(code).strip() == "(1, 97) False"
