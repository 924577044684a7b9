"""Tells ``homeport doctor`` whether there are servers to ask."""

from homeport import Finding
from homeport_remote.config import RemoteConfig


def findings(config: RemoteConfig) -> list[Finding]:
    """Say which servers it asks; none is asked now."""
    if not config.upstreams:
        return [Finding(True, "off: [plugins.remote.upstreams] names no server", usable=False)]
    return [Finding(True, f"on, for {', '.join(config.upstreams)}")]
