"""What third parties need to test their plugins: an echo backend and a conformance kit."""

from homeport.testing.echo import EchoBackend, EchoPlugin

__all__ = ["EchoBackend", "EchoPlugin"]
