"""What backends tell the doctor is found by their records, and costs no model library."""

import json
import subprocess
import sys

HEAVY = {"aiohttp", "numpy", "onnx", "onnxruntime", "safetensors", "torch", "transformers"}
CALL_ALL = """
import json, sys
from homeport import Settings
from homeport.plugin.imports import import_object
from homeport.plugin.manager import load_plugins

told = {}
for name, entry in load_plugins(Settings()).backends.items():
    found = import_object(entry.record.check)(entry.record.config())
    told[name] = [finding.message for finding in found]
print(json.dumps([told, sorted(sys.modules)]))
"""


def test_every_backend_tells_the_doctor_something_and_imports_nothing_heavy():
    """The checks run in the doctor's process, which starts in a moment."""
    done = subprocess.run([sys.executable, "-c", CALL_ALL], capture_output=True, text=True, check=True)
    told, modules = json.loads(done.stdout)
    assert set(told) >= {"ollama-legacy", "onnx-cpu", "remote", "transformers-cpu"}
    assert all(all(messages) and messages for messages in told.values())
    assert HEAVY & {module.partition(".")[0] for module in modules} == set()
