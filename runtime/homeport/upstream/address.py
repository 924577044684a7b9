"""Addresses of other servers."""

import ipaddress

from yarl import URL

_SCHEMES = ("http", "https")


def upstream_url(text: str) -> URL:
    """Read the address of a server; ``host:port`` is taken for ``http://host:port``.

    Raises:
        ValueError: It is no address of a server, or holds a password, a query or a fragment.
    """
    whole = text.strip() if "://" in text else f"http://{text.strip()}"
    try:
        url = URL(whole)
        _ = url.port  # checked only when it is asked for
    except ValueError as error:
        raise ValueError(f"must be a URL such as http://127.0.0.1:11435, got {text!r}") from error
    if url.scheme not in _SCHEMES or not url.host:
        raise ValueError(f"must be a URL with http or https and a host, got {text!r}")
    if url.user is not None or url.password is not None:
        raise ValueError("must not hold a name or a password; name a variable or a file with the key instead")
    if url.query_string or url.fragment:
        raise ValueError(f"must have neither a query nor a fragment, got {text!r}")
    return url.with_path(url.path.rstrip("/") or "/")


def is_loopback(url: URL) -> bool:
    """Tell whether a server is on this machine, by its name alone."""
    host = (url.host or "").lower().removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
