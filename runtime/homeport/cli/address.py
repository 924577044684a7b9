"""Where the server is that a command talks to."""

import ipaddress
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import attrs

if TYPE_CHECKING:
    from homeport.config.loading import LoadedSettings

_HTTPS_PORT = 443
_OLLAMA_HOST_ORIGIN = "variable OLLAMA_HOST"


@attrs.frozen(kw_only=True)
class Address:
    """A server's address.

    Attributes:
        host: Name or IP address, without brackets.
        port: TCP port.
        secure: Whether it speaks TLS.
        path: Put before every route, without a slash at its end.
    """

    host: str
    port: int
    secure: bool = False
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can be meant."""
        return self.host == "localhost" or (_is_ip(self.host) and ipaddress.ip_address(self.host).is_loopback)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read ``http://host:port/path``.

        Raises:
            ValueError: It is no such URL.
        """
        match = re.fullmatch(r"(https?)://(\[[^\]]+\]|[^:/]+):(\d+)(/.*)?", url.strip())
        if match is None:
            raise ValueError(f"expected a URL with a port, got {url!r}")
        scheme, host, port, path = match.groups()
        return cls(
            host=host.strip("[]"), port=int(port), secure=scheme == "https", path=(path or "").rstrip("/")
        )


def server_address(loaded: "LoadedSettings", environ: Mapping[str, str]) -> Address:
    """Derive a client's address from where the server listens.

    A server that listens on all addresses is asked on loopback. Where ``OLLAMA_HOST`` decides, its scheme
    and path count too, as they do for Ollama's own client.
    """
    server = loaded.settings.server
    host = server.host.strip("[]")
    if _is_ip(host) and ipaddress.ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    scheme, path = "", ""
    if loaded.origins.get("server.host") == _OLLAMA_HOST_ORIGIN:
        text = environ.get("OLLAMA_HOST", "").strip().strip("\"'")
        before, separator, rest = text.partition("://")
        scheme = before if separator else ""
        path = "/" + rest.partition("/")[2] if "/" in rest else ""
    secure = scheme == "https" or (not scheme and server.port == _HTTPS_PORT)
    return Address(host=host, port=server.port, secure=secure, path=path.rstrip("/"))


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
