"""What the backend tells the doctor."""

from homeport_ollama.check import findings
from homeport_ollama.config import OllamaConfig
from homeport_ollama.plugin import homeport_backends


def test_the_record_leads_to_the_check():
    """The doctor finds it by the record alone."""
    [spec] = homeport_backends()
    assert spec.check == f"{findings.__module__}:{findings.__name__}"


def test_without_an_address_the_backend_is_off():
    """That is no fault, but it serves nothing."""
    [finding] = findings(OllamaConfig())
    assert (finding.ok, finding.usable) == (True, False)


def test_with_an_address_it_is_on():
    """The address is told."""
    [finding] = findings(OllamaConfig(url="http://127.0.0.1:11434"))
    assert (finding.ok, finding.usable) == (True, True)
    assert "http://127.0.0.1:11434" in finding.message
