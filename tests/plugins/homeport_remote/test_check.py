"""What the backend tells the doctor."""

from homeport_remote.check import findings
from homeport_remote.config import RemoteConfig, UpstreamConfig


def test_without_servers_the_backend_is_off():
    """That is no fault, but it serves nothing."""
    [finding] = findings(RemoteConfig())
    assert (finding.ok, finding.usable) == (True, False)


def test_with_servers_they_are_named():
    """By the names that the settings give them."""
    [finding] = findings(RemoteConfig(upstreams={"attic": UpstreamConfig(url="http://127.0.0.1:1/v1")}))
    assert (finding.ok, finding.usable, finding.message) == (True, True, "on, for attic")
