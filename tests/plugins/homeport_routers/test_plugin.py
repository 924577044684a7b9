import subprocess
import sys

from homeport.config.settings import Settings
from homeport.plugin.imports import import_object
from homeport_routers.plugin import homeport_routers

CODE = """
import sys
import homeport_routers.plugin as plugin
from homeport_routers.task_classifier import TaskClassifier
from homeport_routers.complexity_score import ComplexityScore
records = list(plugin.homeport_routers())
TaskClassifier.shipped().guess("Hello")
ComplexityScore().score("Hello", "")
print(sorted({"numpy", "torch", "sklearn"} & set(sys.modules)))
"""


def test_offers_five_routers_that_can_be_built():
    """Each router is built from its settings' defaults."""
    records = {record.name: record for record in homeport_routers()}
    assert set(records) == {"rules", "complexity", "strategy", "affinity", "load"}
    for record in records.values():
        config = () if record.config is None else (record.config(),)
        assert callable(import_object(record.factory)(*config).rank)


def test_classifying_imports_no_array_library():
    """The host classifies in plain Python."""
    shown = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"


def test_no_router_is_on_by_default():
    """Nobody's requests are ranked by a router that they did not choose."""
    assert Settings().gateway.routers == ()
