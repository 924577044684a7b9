import subprocess
import sys

from homeport_sources.plugin import homeport_model_sources

CODE = """
import sys
import homeport_sources.plugin as plugin
records = list(plugin.homeport_model_sources())
import homeport_sources.package_index, homeport_sources.folder, homeport_sources.hub
assert homeport_sources.hub.Hub().locate("hf:me/model") is not None
heavy = {"numpy", "gguf", "safetensors", "tokenizers", "huggingface_hub", "torch", "transformers"}
print(sorted(heavy & set(sys.modules)))
"""


def test_offers_three_sources():
    """The package index, the hub and folders are offered; only the hub needs a package."""
    records = {record.name: record for record in homeport_model_sources()}
    assert set(records) == {"package-index", "hub", "folder"}
    assert records["hub"].requires == ("huggingface_hub>=1",)
    assert records["package-index"].requires == records["folder"].requires == ()


def test_listing_imports_nothing_heavy():
    """Declaring the sources, and locating with them, imports no model library and no client of the hub."""
    shown = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"
