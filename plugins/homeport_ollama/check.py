"""Tells ``homeport doctor`` whether the backend is switched on."""

from homeport import Finding
from homeport_ollama.config import OllamaConfig


def findings(config: OllamaConfig) -> list[Finding]:
    """Say where it asks; nobody is asked now."""
    if not config.address:
        return [Finding(True, "off: [plugins.ollama-legacy] names no url", usable=False)]
    return [Finding(True, f"on, for the Ollama at {config.address}")]
