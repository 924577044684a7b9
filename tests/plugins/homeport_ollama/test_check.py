"""What the backend tells the doctor."""

from homeport_ollama.check import findings
from homeport_ollama.config import OllamaConfig


def test_without_an_address_the_backend_is_off():
    """That is no fault, but it serves nothing."""
    [finding] = findings(OllamaConfig())
    assert (finding.ok, finding.usable) == (True, False)


def test_with_an_address_it_is_on():
    """The address is told."""
    [finding] = findings(OllamaConfig(url="http://127.0.0.1:11434"))
    assert (finding.ok, finding.usable) == (True, True)
    assert "http://127.0.0.1:11434" in finding.message
